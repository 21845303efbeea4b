import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { PutAnswer } from './harness/answers.ts';
import { contentOf, md5Of } from './harness/content.ts';
import type { Fault, FaultPlan } from './harness/faulty-node-proxy.ts';
import { temporaryDirectory } from './harness/guard.ts';
import type { ErrorAnswer, HttpAnswer } from './harness/http.ts';
import {
  type SeparateNode,
  type SeparatePrograms,
  startSeparatePrograms,
} from './harness/separate-programs.ts';
import { waitUntil } from './harness/wait-until.ts';

const onPut =
  (fault: Fault): FaultPlan =>
  ({ method, path }) =>
    method === 'PUT' && path.startsWith('/blobs/') ? fault : undefined;
const onGet =
  (fault: Fault): FaultPlan =>
  ({ method, path }) =>
    method === 'GET' && path.startsWith('/blobs/') ? fault : undefined;
const onPull =
  (fault: Fault): FaultPlan =>
  ({ method, path }) =>
    method === 'POST' && path === '/pull' ? fault : undefined;

const nameOf = (fault: Fault) =>
  fault.kind === 'status' ? `answers ${fault.status}` : fault.kind.replaceAll('-', ' ');

/** Whatever a node may do to a request whose body it is sent. */
const writeFaults: Fault[] = [
  { kind: 'status', status: 500 },
  { kind: 'status', status: 503 },
  { kind: 'status', status: 507 },
  { kind: 'status', status: 429, retryAfter: 1 },
  { kind: 'drop-before' },
  { kind: 'drop-in-body', afterBytes: 50_000 },
  { kind: 'drop-after' },
];

describe('a node that breaks', () => {
  let programs: SeparatePrograms;
  let hanging: SeparatePrograms;
  /** A long body is waited for up to a minute after its last byte, which passes while the other tests run. */
  let hangingPut: Promise<HttpAnswer>;
  beforeAll(async () => {
    hanging = await startSeparatePrograms({ nodes: 1, copies: 1, proxied: true });
    breakNode(hanging.node('node-1'), onPut({ kind: 'hang' }));
    hangingPut = hanging.put('/hanging.bin', contentOf('hanging', 2_500_000));
    hangingPut.catch(() => undefined);
    programs = await startSeparatePrograms({ nodes: 2, copies: 2, proxied: true });
  });
  afterAll(async () => {
    await programs?.dispose();
    await hanging?.dispose();
  });
  afterEach(async () => {
    for (const node of programs.nodeList) node.proxy?.mend();
    await bothUp();
  });

  const first = () => programs.node('node-1');
  const second = () => programs.node('node-2');
  const breakNode = (node: SeparateNode, plan: FaultPlan) => node.proxy?.break(plan);
  const bothUp = () =>
    waitUntil('both nodes to be up', async () =>
      (await programs.nodes()).every(({ state }) => state === 'up'),
    );

  describe.each(writeFaults.map((fault) => [nameOf(fault), fault] as const))(
    'on upload: %s',
    (name, fault) => {
      it('is not noticed by whoever puts a small file', async () => {
        breakNode(first(), onPut(fault));
        const paths = Array.from({ length: 8 }, (_, index) => `/small ${name}/${index}.bin`);
        const puts = paths.map((path) => programs.store(path, contentOf(path, 120_000)));
        for (const answer of await Promise.all(puts)) {
          expect(answer.primary.name).toBe('node-2');
        }
        for (const path of paths) {
          const got = await programs.get(path);
          expect(got.body.equals(contentOf(path, 120_000))).toBe(true);
        }
      });

      it('makes a long upload succeed, or fail whole with one clear error that may be tried again', async () => {
        breakNode(first(), onPut(fault));
        for (const index of [0, 1]) {
          const path = `/long ${name}/${index}.bin`;
          const bytes = contentOf(path, 2_500_000);
          const answer = await programs.put(path, bytes);
          if (answer.status === 201) {
            expect((await programs.get(path)).body.equals(bytes)).toBe(true);
            continue;
          }
          expect([answer.status, answer.json<ErrorAnswer>().error.code]).toEqual([
            503,
            'unavailable',
          ]);
          expect(answer.headers['retry-after']).toMatch(/^\d+$/);
          expect(answer.json<ErrorAnswer>().error.message).toContain('node-1');
          expect((await programs.get(path)).status).toBe(404);
        }
      });

      it('is not noticed by dfs put, which tries again', async () => {
        breakNode(first(), onPut(fault));
        const bytes = contentOf(`command ${name}`, 2_500_000);
        const local = join(temporaryDirectory('put'), 'file.bin');
        writeFileSync(local, bytes);
        const put = await programs.dfsJson<PutAnswer>(['put', local, '--to', `/${name}/`]);
        expect(put.path).toBe(`/${name}/file.bin`);
        expect((await programs.get(put.path)).body.equals(bytes)).toBe(true);
        expect(await programs.names(`/${name}`)).toEqual(['file.bin']);
      });
    },
  );

  it('leaves nothing behind on any node, however it broke', async () => {
    await programs.waitUntilTidy();
  });

  it('that hangs with a small file is not noticed: another one takes it', async () => {
    breakNode(first(), onPut({ kind: 'hang' }));
    const paths = ['/hang/1.bin', '/hang/2.bin', '/hang/3.bin', '/hang/4.bin'];
    const puts = paths.map((path) => programs.store(path, contentOf(path, 120_000)));
    for (const answer of await Promise.all(puts)) expect(answer.primary.name).toBe('node-2');
  });

  it.each(writeFaults.map((fault) => [nameOf(fault), fault] as const))(
    'makes a put fail clearly when no node is left: each %s',
    async (name, fault) => {
      for (const node of programs.nodeList) breakNode(node, onPut(fault));
      const path = `/nowhere ${name}.bin`;
      const answer = await programs.put(path, contentOf(path, 100_000));
      const isFull = fault.kind === 'status' && fault.status === 507;
      expect(answer.status, answer.text).toBe(isFull ? 507 : 503);
      const { error } = answer.json<ErrorAnswer>();
      expect(error.code).toBe(isFull ? 'no-room' : 'unavailable');
      expect(error.hint).toBeTruthy();
      if (!isFull) expect(answer.headers['retry-after']).toMatch(/^\d+$/);
      for (const node of programs.nodeList) node.proxy?.mend();
      expect((await programs.get(path)).status).toBe(404);
    },
  );

  it('makes dfs put end with one clear line when all nodes lack room', async () => {
    for (const node of programs.nodeList) breakNode(node, onPut({ kind: 'status', status: 507 }));
    const local = join(temporaryDirectory('full'), 'full.bin');
    writeFileSync(local, contentOf('full', 100_000));
    const put = await programs.dfs(['put', local]);
    expect(put.code).toBe(6);
    expect(put.stdout).toBe('');
    expect(put.stderr).toMatch(/room/);
    expect(put.stderr).not.toMatch(/^\s+at /m);
  });

  const copyFaults: Fault[] = [
    { kind: 'status', status: 500 },
    { kind: 'status', status: 503 },
    { kind: 'drop-before' },
    { kind: 'drop-after' },
  ];
  it.each(copyFaults.map((fault) => [nameOf(fault), fault] as const))(
    'as the target of a copy is tried again until the copy is there: %s',
    async (name, fault) => {
      const path = `/copied ${name}.bin`;
      for (const node of programs.nodeList) breakNode(node, onPull(fault));
      await programs.store(path, contentOf(path, 300_000));
      const failed = await waitUntil('an attempt that failed', async () =>
        (await programs.log({ path })).find(({ outcome }) => outcome === 'failed'),
      );
      expect(failed.error).toBeTruthy();
      for (const node of programs.nodeList) node.proxy?.mend();
      await programs.waitForCopies([path], 2, { withinMs: 60_000 });
      const stored = (await programs.log({ path })).filter(({ outcome }) => outcome === 'stored');
      expect(stored.length).toBeGreaterThanOrEqual(1);
    },
  );

  const sourceFaults: Fault[] = [
    { kind: 'status', status: 503 },
    { kind: 'cut-answer', afterBytes: 100_000 },
    { kind: 'flip-answer', at: 200_000 },
    { kind: 'drop-before' },
  ];
  it.each(sourceFaults.map((fault) => [nameOf(fault), fault] as const))(
    'as the source of a copy never gives a copy of other bytes: %s',
    async (name, fault) => {
      const path = `/source ${name}.bin`;
      const bytes = contentOf(path, 300_000);
      for (const node of programs.nodeList) breakNode(node, onGet(fault));
      await programs.store(path, bytes);
      await waitUntil('an attempt that failed', async () =>
        (await programs.log({ path })).some(({ outcome }) => outcome !== 'stored'),
      );
      expect((await programs.stat(path)).copies.stored).toBe(1);
      for (const node of programs.nodeList) node.proxy?.mend();
      await programs.waitForCopies([path], 2, { withinMs: 60_000 });
      for (const { node } of await programs.replicas(path)) {
        const got = await programs.get(path, {}, `?avoid=${node.id}`);
        expect(md5Of(got.body)).toBe(md5Of(bytes));
      }
    },
  );

  const readFaults: Fault[] = [
    { kind: 'status', status: 500 },
    { kind: 'status', status: 503 },
    { kind: 'drop-before' },
    { kind: 'cut-answer', afterBytes: 0 },
    { kind: 'cut-answer', afterBytes: 1_400_000 },
    { kind: 'hang' },
  ];
  describe('on download', () => {
    const path = '/read.bin';
    const bytes = contentOf(path, 3_000_000);
    beforeAll(async () => {
      await programs.store(path, bytes);
      await programs.waitForCopies([path], 2);
    });

    it.each(
      readFaults.map(
        (fault) =>
          [
            fault.kind === 'cut-answer' ? `cuts after ${fault.afterBytes} bytes` : nameOf(fault),
            fault,
          ] as const,
      ),
    )('is not noticed by the reader: %s', async (_name, fault) => {
      const { primary } = await programs.stat(path);
      const node = programs.node(primary?.name ?? '');
      breakNode(node, onGet(fault));
      const faultsBefore = node.proxy?.faults ?? 0;
      const got = await programs.get(path);
      expect([got.status, got.body.equals(bytes)]).toEqual([200, true]);
      const part = await programs.get(path, { Range: 'bytes=1300000-1500000' });
      expect([part.status, part.body.equals(bytes.subarray(1_300_000, 1_500_001))]).toEqual([
        206,
        true,
      ]);
      expect(node.proxy?.faults).toBeGreaterThan(faultsBefore);
    });

    it('that changes bytes on their way is caught by dfs get, which asks for another copy', async () => {
      const { primary } = await programs.stat(path);
      breakNode(programs.node(primary?.name ?? ''), onGet({ kind: 'flip-answer', at: 2_000_000 }));
      const got = await programs.dfs(['get', path], { cwd: temporaryDirectory('flipped') });
      expect(got.code, got.stderr).toBe(0);
      expect(got.stdout).toContain(md5Of(bytes));
    });

    it('on both nodes ends a download by a broken connection, never by wrong or missing bytes', async () => {
      const fault = { kind: 'cut-answer', afterBytes: 1_000_000 } as const;
      breakNode(first(), onGet(fault));
      breakNode(second(), onGet(fault));
      const got = await programs.get(path).catch((error: Error) => error);
      if (got instanceof Error) expect(got.message).toMatch(/aborted|hang up|ECONNRESET/);
      // Going on from where each copy broke may well reach the end.
      else expect(got.body.equals(bytes)).toBe(true);
    });

    it('on both nodes at once is told with 503 and the names of both', async () => {
      breakNode(first(), onGet({ kind: 'drop-before' }));
      breakNode(second(), onGet({ kind: 'drop-before' }));
      const got = await programs.get(path);
      expect(got.status).toBe(503);
      expect(got.json<ErrorAnswer>().error.message).toMatch(/node-1.*node-2|node-2.*node-1/);
      expect(got.headers['retry-after']).toMatch(/^\d+$/);
    });
  });

  it('that hangs with a long file and has no other beside it is told in the end', async () => {
    const answer = await hangingPut;
    expect([answer.status, answer.json<ErrorAnswer>().error.code]).toEqual([503, 'unavailable']);
    expect(answer.json<ErrorAnswer>().error.message).toContain('node-1');
    hanging.node('node-1').proxy?.mend();
    expect((await hanging.get('/hanging.bin')).status).toBe(404);
    await hanging.waitUntilTidy();
  });

  it('has left nothing behind in the end', async () => {
    await programs.waitUntilTidy();
  });
});

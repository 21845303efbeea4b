import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { gunzipSync, gzipSync } from 'node:zlib';
import { newClusterId, type RestoreReport, StoreError } from '@dfs/shared';
import { temporaryDirectory } from '@dfs/shared/testing';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { RestoreRequest } from '../../restore/restorer.ts';
import type { Safekeeping } from '../http/front.ts';
import { TestPublicServer } from '../testing/test-public-server.ts';
import { removeStagedBackups } from './safekeeping.ts';

const report = { clusterId: newClusterId(), files: 3 } as Partial<RestoreReport> as RestoreReport;

let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
let server: TestPublicServer;
let lines: () => AsyncGenerator<string>;
let restore: Safekeeping['restorer']['run'];

beforeEach(async () => {
  folder = await temporaryDirectory();
  lines = async function* () {
    yield 'one\n';
    yield 'two\n';
  };
  restore = async () => report;
  server = await new TestPublicServer({
    safekeeping: {
      metadata: { snapshot: () => lines() },
      restorer: { run: (request, tell) => restore(request, tell) },
      stagingDir: folder.path,
    },
  }).start();
});

afterEach(async () => {
  await server.stop();
  await folder.remove();
});

const linesOf = async (answer: Response) =>
  (await answer.text())
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

it('sends a backup as gzip, for administrators alone', async () => {
  const answer = await server.fetch('/api/v1/backup');
  expect(answer.headers.get('content-type')).toBe('application/gzip');
  expect(gunzipSync(Buffer.from(await answer.arrayBuffer())).toString()).toBe('one\ntwo\n');
  for (const [method, path] of [
    ['GET', '/api/v1/backup'],
    ['POST', '/api/v1/restore'],
  ] as const) {
    expect((await fetch(`${server.url}${path}`, { method })).status).toBe(401);
  }
  expect((await server.fetch('/api/v1/backup', { method: 'POST' })).status).toBe(405);
  expect((await server.fetch('/api/v1/restore')).status).toBe(405);
});

it('cuts a backup that fails midway, so that nobody takes half of it for a whole one', async () => {
  lines = async function* () {
    yield 'x'.repeat(2 ** 20);
    throw new StoreError('unavailable', 'The database went away.');
  };
  const reading = server.fetch('/api/v1/backup').then((answer) => answer.arrayBuffer());
  await expect(reading).rejects.toThrow();
});

it('makes no backup in recovery', async () => {
  server.recovery = 'The database is empty.';
  const answer = await server.fetch('/api/v1/backup');
  expect(answer.status).toBe(503);
  expect(await answer.text()).toContain('dfs restore');
});

it('restores in recovery, tells how far it is, and ends with the report', async () => {
  server.recovery = 'The database is empty.';
  let asked: RestoreRequest | undefined;
  restore = async (request, tell) => {
    asked = request;
    tell({ step: 'records', message: 'Replaying.', done: 1 });
    return report;
  };
  const query = `cluster=${report.clusterId}&into=/tmp/aside.sqlite&acceptLoss=1`;
  const answer = await server.fetch(`/api/v1/restore?${query}`, { method: 'POST' });
  expect(await linesOf(answer)).toEqual([
    { progress: { step: 'records', message: 'Replaying.', done: 1 } },
    { report },
  ]);
  expect(asked).toEqual({
    cluster: report.clusterId,
    into: '/tmp/aside.sqlite',
    acceptLoss: true,
  });
});

it('says in its last line why a restore failed', async () => {
  restore = async () => {
    throw new StoreError('conflict', 'The database is not empty.', { hint: 'Use --into.' });
  };
  const [line] = await linesOf(await server.fetch('/api/v1/restore', { method: 'POST' }));
  expect(line).toMatchObject({ error: { code: 'conflict', hint: 'Use --into.' } });
});

it('refuses a cluster id that is none and a file that is not named from the root', async () => {
  for (const query of ['cluster=x', 'into=aside.sqlite']) {
    const answer = await server.fetch(`/api/v1/restore?${query}`, { method: 'POST' });
    expect(answer.status, query).toBe(400);
  }
});

it('keeps a backup that comes along until it is loaded, readable twice, and no longer', async () => {
  const bytes = gzipSync('a backup');
  const read: string[] = [];
  restore = async ({ backup }) => {
    for (let i = 0; i < 2; i += 1) {
      const file = backup?.open();
      if (file) read.push(await text(file));
    }
    return report;
  };
  await linesOf(await server.fetch('/api/v1/restore', { method: 'POST', body: bytes }));
  expect(read).toHaveLength(2);
  expect(read[0]).toBe(read[1]);
  expect(await readdir(folder.path)).toEqual([]);
  // One that was left by a master that died.
  await writeFile(join(folder.path, 'restore-left-1.backup'), bytes);
  await writeFile(join(folder.path, 'metadata.sqlite'), '');
  await removeStagedBackups(folder.path);
  expect(await readdir(folder.path)).toEqual(['metadata.sqlite']);
});

import { once } from 'node:events';
import { Agent, get, type IncomingMessage, type Server } from 'node:http';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import {
  type FileId,
  type FilePath,
  newBlobId,
  newNodeId,
  type Opening,
  type PermittedFile,
  StoreError,
} from '@dfs/shared';
import { LogRing, listen, ServerTls } from '@dfs/shared/cluster';
import { TrustedProxies } from '@dfs/shared/serving';
import {
  FakeClock,
  makeDescription,
  md5Of,
  patternBytes,
  recordingLogger,
} from '@dfs/shared/testing';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { CacheReading } from '../cache/read-cache.ts';
import { flipByte, openTestDisk, type TestDisk } from '../testing/test-disk.ts';
import { createEdgeServer } from './edge-server.ts';
import { FileBytes } from './file-bytes.ts';

const mib = 2 ** 20;
/** More than the buffers of a connection hold. */
const bytes = patternBytes(28 * mib + 99);
const blobs = [newBlobId(), newBlobId()] as const;
const parts = [bytes.subarray(0, 4 * mib), bytes.subarray(4 * mib)] as const;
const here = { nodeId: newNodeId(), url: 'http://127.0.0.1:1' };
const elsewhere = { nodeId: newNodeId(), url: 'http://127.0.0.1:1' };
const file: PermittedFile = {
  ...{ id: 'f' as FileId, path: '/a.bin' as FilePath, contentType: 'application/octet-stream' },
  ...{ sizeBytes: bytes.length, md5: md5Of(bytes), attributes: {}, modifiedAtMs: 0 },
  ...{ isPublic: true, isDownload: false, isById: false },
  blobs: parts.map((part, index) => ({
    ...{ blobId: blobs[index] as never, offsetBytes: index * 4 * mib, sizeBytes: part.length },
    ...{ md5: md5Of(part), sources: [here, elsewhere] },
  })),
};

let disk: TestDisk;
let server: Server;
let port: number;
let opening: Opening;
let reads: FileId[];
/** Ranges of blobs that came from other nodes. */
let fetched: { blobId: string; start: number; end: number }[];
let stillOpen: (of: Opening) => Promise<{ isOpen: boolean }>;
/** When it is asked whether a link still holds; the files are served by the true time. */
let clock: FakeClock;
let judge: () => Promise<void>;

beforeEach(async () => {
  disk = await openTestDisk();
  opening = { kind: 'public' };
  reads = [];
  fetched = [];
  stillOpen = async () => ({ isOpen: true });
  clock = new FakeClock();
  const { nodeId } = here;
  judge = async () => undefined;
  const cache = {
    read: async () => undefined,
    open: async ({ blob, range, sources }: CacheReading) => {
      const { blobId } = blob;
      // Never this node itself.
      expect(sources).toEqual([elsewhere]);
      const { start, end } = range;
      fetched.push({ blobId, start, end });
      return Readable.from([parts[blobId === blobs[0] ? 0 : 1].subarray(start, end)]);
    },
  };
  server = createEdgeServer({
    ...{ nodeId, name: 'one', version: '1', tls: ServerTls.none(), crossOrigin: undefined },
    proxies: TrustedProxies.none,
    permits: {
      find: async () => ({ kind: 'read', file, opening, validForMs: 1 }),
      findAnew: async () => ({ kind: 'forward' }),
    },
    files: new FileBytes({ nodeId, store: disk.store, cache }),
    forwarder: {
      forward: async () => {
        throw new Error('nothing is passed on here');
      },
    },
    master: { judge: () => judge(), isOpen: (question) => stillOpen(question.opening) },
    log: new LogRing(),
    metrics: { requestEnded: () => undefined },
    onRead: (id) => reads.push(id),
    offlineRightsMs: 60_000,
    askEveryMs: 20,
    clock,
    logger: recordingLogger().logger,
  }).server;
  port = await listen(server, { host: '127.0.0.1', port: 0 });
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await disk.close();
});

const agent = new Agent({ keepAlive: false });
async function open(headers: Record<string, string> = {}) {
  const sent = get({ host: '127.0.0.1', port, path: '/fs/a.bin', agent, headers });
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  return answer;
}
const read = async (headers: Record<string, string> = {}) => buffer(await open(headers));

async function store(index: 0 | 1): Promise<void> {
  const blobId = blobs[index];
  await disk.store.put(blobId, Buffer.from(parts[index]), {
    description: makeDescription({ blobId }),
  });
}

describe('the bytes of a file at a node', () => {
  it('come from its own copies and, where it has none, from others', async () => {
    await store(0);
    expect((await read()).equals(bytes)).toBe(true);
    expect(fetched).toEqual([{ blobId: blobs[1], start: 0, end: parts[1].length }]);
    const across = await read({ Range: `bytes=${4 * mib - 10}-${4 * mib + 9}` });
    expect(across.equals(bytes.subarray(4 * mib - 10, 4 * mib + 10))).toBe(true);
    expect(reads).toEqual([file.id, file.id]);
  });

  it.each([
    ['the first block', 100, 0],
    ['a later block', 2 * mib + 5, 2 * mib],
  ])(
    'go on from others where its own are damaged, never a wrong one sent: %s',
    async (_what, at, from) => {
      await store(0);
      await flipByte(disk.pathOf(blobs[0]), at);
      const range = { Range: `bytes=0-${4 * mib - 1}` };
      expect((await read(range)).equals(parts[0])).toBe(true);
      expect(fetched).toEqual([{ blobId: blobs[0], start: from, end: 4 * mib }]);
      const small = await read({ Range: `bytes=${at}-${at + 9}` });
      expect(small.equals(bytes.subarray(at, at + 10))).toBe(true);
    },
  );

  it('in several ranges count as one read', async () => {
    await store(0);
    const answer = await read({ Range: `bytes=0-${mib},${2 * mib}-${3 * mib}` });
    expect(answer.includes(bytes.subarray(2 * mib, 3 * mib))).toBe(true);
    expect(reads).toHaveLength(1);
  });
});

describe('a download under a link', () => {
  const link: Opening = {
    ...{ kind: 'link', subjects: ['s'], isDownload: false },
    ...{ issuedAtMs: 0, expiresAtMs: Number.MAX_SAFE_INTEGER },
  };

  it.each<[string, () => void]>([
    [
      'the link is revoked',
      () => {
        stillOpen = async () => ({ isOpen: false });
      },
    ],
    [
      'the master was silent for longer than rights outlast it',
      () => {
        stillOpen = async () => {
          throw new Error('no answer');
        };
        clock.advance(60_001);
      },
    ],
  ])('is cut when %s', async (_what, happen) => {
    const warned = vi.spyOn(process, 'emitWarning');
    onTestFinished(() => warned.mockRestore());
    await store(0);
    await store(1);
    opening = link;
    const cut = new Promise<boolean>((resolve) => {
      server.once('request', (_request, response) =>
        response.once('close', () => resolve(!response.writableFinished)),
      );
    });
    const answer = await open();
    happen();
    // It is read only once it was cut: what a connection holds is less than the whole.
    expect(await cut).toBe(true);
    await expect(buffer(answer)).rejects.toThrow();
    // As many listen for its end as this test, the server and the pipeline need.
    expect(warned).not.toHaveBeenCalled();
  });

  it('is asked about no more once it has ended', async () => {
    await store(0);
    await store(1);
    const another: Opening = { ...link, subjects: ['another'] };
    const asked = new Map<Opening, number>();
    let wake = () => {};
    stillOpen = async (of) => {
      asked.set(of, (asked.get(of) ?? 0) + 1);
      wake();
      return { isOpen: true };
    };
    const askedTimes = async (of: Opening, times: number) => {
      while ((asked.get(of) ?? 0) < times) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    };
    opening = link;
    const first = await open();
    await askedTimes(link, 1);
    await buffer(first);
    const timesThen = asked.get(link);
    opening = another;
    const second = await open();
    await askedTimes(another, 4);
    expect(asked.get(link)).toBeLessThanOrEqual((timesThen ?? 0) + 1);
    await buffer(second);
  });

  it('goes on while the link holds, or the master is silent for a short time', async () => {
    await store(0);
    await store(1);
    opening = link;
    let asked = 0;
    let wake = () => {};
    const enough = new Promise<void>((resolve) => {
      wake = resolve;
    });
    stillOpen = async () => {
      asked += 1;
      if (asked === 4) wake();
      if (asked % 2 === 0) throw new Error('no answer');
      return { isOpen: true };
    };
    const answer = await open();
    await enough;
    expect((await buffer(answer)).equals(bytes)).toBe(true);
  });
});

it.each(['GET', 'DELETE'])('tells nobody where a silent master is (%s)', async (method) => {
  judge = async () => {
    throw new StoreError('unavailable', 'The master at http://10.1.2.3:7041 gives no answer.');
  };
  const answer = await fetch(`http://127.0.0.1:${port}/api/v1/logs`, { method });
  expect(answer.status).toBe(503);
  expect(await answer.text()).not.toContain('10.1.2.3');
});

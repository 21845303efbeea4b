import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { type NodeId, StoreError, type StoreErrorKind } from '@dfs/shared';
import { md5Of, patternBytes, seededRandom } from '@dfs/shared/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { pathOf, requestOf, TestCluster, type TestClusterOptions } from './test-cluster.ts';

const clusters: TestCluster[] = [];
const open = async (options?: TestClusterOptions) => {
  const cluster = await TestCluster.open(options);
  clusters.push(cluster);
  return cluster;
};
afterEach(async () => {
  for (const cluster of clusters.splice(0)) {
    // Whatever happened: nothing is left that only a running upload may have.
    expect([...cluster.inUse.uploadingNow()]).toEqual([]);
    expect(cluster.nodes.all.map(({ reservedBytes }) => reservedBytes)).toEqual(
      cluster.nodes.all.map(() => 0),
    );
    await cluster.close();
  }
});

const isBound = async (cluster: TestCluster, path: string) =>
  (await cluster.files.find({ path: pathOf(path) })) !== undefined;

/** Stays a stream: more than is held. */
const longBytes = patternBytes(50_000, 3);
const streamed = { heldBodyBytes: 10_000 };

describe('placing uploads', () => {
  it('uses every node over many puts, those with more room more often', async () => {
    const cluster = await open({ nodes: 0 });
    const sizes = [2 ** 20, 2 ** 20, 4 * 2 ** 20];
    for (const capacityBytes of sizes) cluster.nodes.add(capacityBytes);
    for (let i = 0; i < 300; i += 1) await cluster.put(`/${i}`, patternBytes(10, i));
    const counts = cluster.nodes.all.map(({ store }) => store.ids.length);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(300);
    for (const count of counts) expect(count).toBeGreaterThan(20);
    expect(counts[2]).toBeGreaterThan((counts[0] ?? 0) + 30);
    expect(counts[2]).toBeGreaterThan((counts[1] ?? 0) + 30);
  });

  it('counts room that running uploads are about to take as taken', async () => {
    const cluster = await open({ nodes: 1, capacityBytes: 150_000, config: streamed });
    const body = new PassThrough();
    const first = cluster.putStream('/first', body, { sizeBytes: 100_000 });
    body.write(patternBytes(20_000));
    const [node] = cluster.nodes.all;
    while (node?.reservedBytes === 0) await new Promise(setImmediate);
    await expect(cluster.put('/second', patternBytes(100_000))).rejects.toMatchObject({
      kind: 'no-room',
    });
    body.end(patternBytes(80_000));
    await first;
  });

  it('refuses a body for which no node has room before reading it', async () => {
    const cluster = await open({ capacityBytes: 100_000, config: streamed });
    const body = new Readable({ read: () => expect.unreachable('the body was read') });
    await expect(cluster.putStream('/big', body, { sizeBytes: 100_001 })).rejects.toMatchObject({
      kind: 'no-room',
    });
  });

  it.each([
    ['no node has registered', 0, [], 'No storage node has registered'],
    ['all nodes are down', 2, ['down', 'down'], 'node-1 (down), node-2 (down)'],
    ['all nodes leave', 1, ['draining'], 'node-1 (draining)'],
  ] as const)('says what is the matter when %s', async (_, nodes, states, text) => {
    const cluster = await open({ nodes });
    for (const [i, state] of states.entries()) {
      const node = cluster.nodes.all[i];
      if (node) node.state = state;
    }
    const refused = expect(cluster.put('/a', patternBytes(10))).rejects;
    await refused.toMatchObject({ kind: 'unavailable', retryAfterSeconds: expect.any(Number) });
    await expect(cluster.put('/a', patternBytes(10))).rejects.toThrow(text);
  });
});

describe('a node that fails', () => {
  const fails: readonly StoreErrorKind[] = [
    'unavailable',
    'internal',
    'no-room',
    'too-many-requests',
    'wrong-node',
    'corrupt',
  ];
  it.each(fails)('with "%s" is unseen: a held body goes to another one', async (kind) => {
    const cluster = await open();
    failPuts(cluster, 2, () => new StoreError(kind, 'Injected.'));
    const bytes = patternBytes(3_000);
    const { info } = await cluster.put('/a', bytes);
    expect(info.file.md5).toBe(md5Of(bytes));
    expect(await cluster.get('/a')).toEqual(bytes);
    const puts = cluster.nodes.all.flatMap(({ store }) => store.puts);
    expect(puts).toHaveLength(3);
    expect(new Set(puts.map(({ id }) => id)).size).toBe(3);
  });

  it('does not make copies belong on it', async () => {
    const cluster = await open();
    const failed = failPuts(cluster, 1, () => new StoreError('internal', 'Injected.'));
    await cluster.put('/a', patternBytes(10));
    expect(cluster.hints.map(({ target }) => target)).not.toContain(failed[0]);
  });

  it('with an error of the network instead of one of ours is unseen, too', async () => {
    const cluster = await open();
    failPuts(cluster, 2, () => Object.assign(new Error('reset'), { code: 'ECONNRESET' }));
    await cluster.put('/a', patternBytes(10));
    expect(await isBound(cluster, '/a')).toBe(true);
  });

  it('after it had stored everything is unseen, and its blob belongs to nobody', async () => {
    const cluster = await open();
    let lost = 0;
    for (const { store } of cluster.nodes.all) {
      store.faultAfterPut = () => {
        lost += 1;
        if (lost <= 2) throw new StoreError('unavailable', 'The answer got lost.');
      };
    }
    const { info } = await cluster.put('/a', patternBytes(10));
    const all = cluster.nodes.all.flatMap(({ store }) => store.ids);
    expect(all).toHaveLength(3);
    const rows = await cluster.metadata.replicasOf(all);
    expect([...rows.keys()]).toEqual([info.file.blobs[0]?.blobId]);
  });

  it('before it took a byte of a long body is unseen', async () => {
    const cluster = await open({ config: streamed });
    failPuts(cluster, 2, () => new StoreError('unavailable', 'No connection.'));
    await cluster.put('/long', chunksOf(longBytes, 1_000));
    expect(await cluster.get('/long')).toEqual(longBytes);
  });

  it('while it took the part of a long body that is still held is unseen', async () => {
    const cluster = await open({ config: { heldBodyBytes: 10_000, readAheadBytes: 1_000 } });
    const broken = cluster.nodes.all.slice(0, 2);
    for (const { store } of broken) store.breakPutAfterBytes = 5_000;
    for (let i = 0; i < 6; i += 1) {
      await cluster.put(`/long${i}`, chunksOf(longBytes, 1_000));
      expect(await cluster.get(`/long${i}`)).toEqual(longBytes);
    }
    expect(broken.flatMap(({ store }) => store.puts).length).toBeGreaterThan(0);
  });

  it('late in a long body makes the upload fail with a clear error that asks for another try', async () => {
    const cluster = await open({ config: streamed });
    for (const { store } of cluster.nodes.all) store.breakPutAfterBytes = 30_000;
    await expect(cluster.put('/long', chunksOf(longBytes, 1_000))).rejects.toMatchObject({
      kind: 'unavailable',
      retryAfterSeconds: 1,
      message: expect.stringContaining('node-'),
    });
    expect(await isBound(cluster, '/long')).toBe(false);
    for (const { store } of cluster.nodes.all) store.breakPutAfterBytes = undefined;
    await cluster.put('/long', chunksOf(longBytes, 1_000));
    expect(await cluster.get('/long')).toEqual(longBytes);
  });

  it('is tried again after its own wait when there is no other', async () => {
    const cluster = await open({ nodes: 1 });
    const busy = new StoreError('too-many-requests', 'Busy.', { retryAfterSeconds: 3 });
    failPuts(cluster, 1, () => busy);
    await cluster.put('/a', patternBytes(10));
    expect(cluster.waits).toEqual([3_000]);
  });

  it('with "wrong-node" is asked once more at once, since its address may have changed', async () => {
    const cluster = await open({ nodes: 1 });
    failPuts(cluster, 1, () => new StoreError('wrong-node', 'I am another.'));
    await cluster.put('/a', patternBytes(10));
    expect(cluster.waits).toEqual([0]);
  });

  it('for ever is not asked for ever, and the answer names what each node said', async () => {
    const cluster = await open();
    failPuts(cluster, 1_000, () => new StoreError('unavailable', 'The cable is cut.'));
    const { promise, error } = rejectionOf(cluster.put('/a', patternBytes(10)));
    await promise;
    expect(error()).toMatchObject({ kind: 'unavailable', retryAfterSeconds: expect.any(Number) });
    for (const name of ['node-1', 'node-2', 'node-3']) {
      expect(error().message).toContain(`${name} (The cable is cut.)`);
    }
    expect(cluster.nodes.all.flatMap(({ store }) => store.puts).length).toBeLessThanOrEqual(8);
    expect(cluster.waits.reduce((sum, ms) => sum + ms, 0)).toBeLessThanOrEqual(10_000);
    expect(await isBound(cluster, '/a')).toBe(false);
  });

  it('for lack of room on every node is "no-room", at once', async () => {
    const cluster = await open();
    failPuts(cluster, 1_000, () => new StoreError('no-room', 'Full.'));
    await expect(cluster.put('/a', patternBytes(10))).rejects.toMatchObject({ kind: 'no-room' });
    expect(cluster.waits).toEqual([]);
  });

  it.each(['unauthorized', 'stale-epoch', 'conflict', 'too-large'] as const)(
    'with "%s" ends the upload without trying others, and not as the sender’s fault',
    async (kind) => {
      const cluster = await open();
      failPuts(cluster, 1, () => new StoreError(kind, 'Injected.'));
      await expect(cluster.put('/a', patternBytes(10))).rejects.toMatchObject({
        kind: 'unavailable',
        message: expect.stringContaining('Injected.'),
      });
      expect(cluster.nodes.all.flatMap(({ store }) => store.puts)).toHaveLength(1);
    },
  );

  it('with a receipt over fewer bytes than were sent has not stored them', async () => {
    const cluster = await open({ nodes: 1 });
    const store = cluster.nodes.all[0]?.store;
    const put = store?.put.bind(store);
    if (store && put) {
      store.put = async (...args) => ({ ...(await put(...args)), sizeBytes: 9 });
    }
    await expect(cluster.put('/a', patternBytes(10))).rejects.toMatchObject({
      kind: 'unavailable',
    });
  });
});

describe('what the sender does wrong', () => {
  const wrong = { expectedMd5: () => '0'.repeat(32) };

  it.each([
    ['held', 100, {}],
    ['held, of unknown size', 100, { sizeBytes: undefined }],
    ['one blob', 50_000, {}],
    ['one blob of unknown size', 50_000, { sizeBytes: undefined }],
    ['several blobs', 150_000, {}],
    ['several blobs of unknown size', 150_000, { sizeBytes: undefined }],
  ] as const)('a wrong MD5 of a body that is %s stores nothing', async (_, size, options) => {
    const config = { ...streamed, segmentBytes: 60_000 };
    const cluster = await open({ config });
    const bytes = chunksOf(patternBytes(size), 1_000);
    await expect(cluster.put('/a', bytes, { ...options, ...wrong } as never)).rejects.toMatchObject(
      { kind: 'digest-mismatch' },
    );
    expect(await isBound(cluster, '/a')).toBe(false);
    expect(cluster.nodes.all.flatMap(({ store }) => store.puts).length).toBeLessThanOrEqual(3);
  });

  it('an MD5 that is told only after the last byte counts as well', async () => {
    const cluster = await open({ config: streamed });
    for (const [path, isRight] of [
      ['/right', true],
      ['/wrong', false],
    ] as const) {
      let told: string | undefined;
      const body = Readable.from(
        (function* () {
          yield* chunksOf(longBytes, 1_000);
          told = isRight ? md5Of(longBytes) : '0'.repeat(32);
        })(),
        { objectMode: false },
      );
      const expectedMd5 = () => told;
      const put = cluster.putStream(path, body, { sizeBytes: 50_000, expectedMd5 });
      if (isRight) await put;
      else await expect(put).rejects.toMatchObject({ kind: 'digest-mismatch' });
      expect(await isBound(cluster, path)).toBe(isRight);
    }
  });

  it('an MD5 that is told only before the bind counts as well', async () => {
    const cluster = await open();
    let told: string | undefined;
    const request = requestOf('/a', Readable.from([Buffer.from('abc')]), {
      expectedMd5: () => told,
    });
    const staged = await cluster.files.stage(request);
    told = '0'.repeat(32);
    await expect(cluster.files.bind([staged])).rejects.toMatchObject({ kind: 'digest-mismatch' });
    expect(await isBound(cluster, '/a')).toBe(false);
  });

  it.each([
    ['held, too short', 100, 101],
    ['held, too long', 100, 99],
    ['streamed, too short', 50_000, 50_001],
    ['streamed, too long', 50_000, 49_999],
    ['several blobs, too short', 150_000, 150_001],
    ['several blobs, too long', 150_000, 120_000],
    ['empty', 0, 1],
    ['not empty', 1, 0],
  ])('a body that is %s is incomplete', async (_, size, sizeBytes) => {
    const cluster = await open({ config: { ...streamed, segmentBytes: 60_000 } });
    const bytes = chunksOf(patternBytes(size), 1_000);
    await expect(cluster.put('/a', bytes, { sizeBytes })).rejects.toMatchObject({
      kind: 'incomplete-body',
    });
    expect(await isBound(cluster, '/a')).toBe(false);
  });

  it('leaves the body to the front: it is not destroyed when the upload is refused', async () => {
    const cluster = await open({ config: streamed });
    for (const { store } of cluster.nodes.all) store.breakPutAfterBytes = 30_000;
    const body = new PassThrough();
    const put = cluster.putStream('/a', body, { sizeBytes: 50_000 });
    body.write(patternBytes(40_000));
    await expect(put).rejects.toMatchObject({ kind: 'unavailable' });
    expect(body.destroyed).toBe(false);
    body.end(patternBytes(10_000));
    body.resume();
    await once(body, 'end');
  });
});

describe('a sender who goes away', () => {
  const random = seededRandom(20);
  const offsets = Array.from({ length: 24 }, () => Math.floor(random() * 100_000));

  it.each(offsets)('after %i bytes leaves no name, no held memory and no upload', async (at) => {
    const cluster = await open({ config: { ...streamed, segmentBytes: 30_000 } });
    const gone = new AbortController();
    const bytes = patternBytes(100_000);
    const body = new PassThrough();
    const put = cluster.putStream('/a', body, {
      signal: gone.signal,
      ...(at % 2 === 0 ? { sizeBytes: 100_000 } : {}),
    });
    const rejected = expect(put).rejects.toMatchObject({ kind: 'cancelled' });
    for (const chunk of chunksOf(bytes.subarray(0, at), 1_777)) {
      if (!body.write(chunk)) await once(body, 'drain');
    }
    if (at % 3 === 0) gone.abort();
    else body.destroy(at % 3 === 1 ? new Error('aborted') : undefined);
    await rejected;
    expect(await isBound(cluster, '/a')).toBe(false);
  });

  it('before the upload began gets nothing stored', async () => {
    const cluster = await open();
    const body = Readable.from([Buffer.from('abc')]);
    body.destroy();
    await expect(cluster.putStream('/a', body)).rejects.toMatchObject({ kind: 'cancelled' });
    const signal = AbortSignal.abort();
    await expect(cluster.put('/a', Buffer.from('abc'), { signal })).rejects.toMatchObject({
      kind: 'cancelled',
    });
    expect(cluster.nodes.all.flatMap(({ store }) => store.ids)).toEqual([]);
  });

  it('during the bind finds the file bound', async () => {
    const cluster = await open();
    const gone = new AbortController();
    const { bindFiles } = cluster.metadata;
    cluster.metadata.bindFiles = async (requests) => {
      gone.abort();
      return bindFiles.call(cluster.metadata, requests);
    };
    await cluster.put('/a', Buffer.from('abc'), { signal: gone.signal });
    expect(await isBound(cluster, '/a')).toBe(true);
  });

  it('while the nodes are asked again ends the waiting', async () => {
    const gone = new AbortController();
    const cluster = await open({
      nodes: 1,
      settings: {
        wait: async (_ms, signal) => {
          gone.abort();
          signal?.throwIfAborted();
        },
      },
    });
    failPuts(cluster, 10, () => new StoreError('unavailable', 'Injected.'));
    await expect(
      cluster.put('/a', Buffer.from('abc'), { signal: gone.signal }),
    ).rejects.toMatchObject({ kind: 'cancelled' });
  });
});

describe('bodies of any size', () => {
  const segmentBytes = 1_024;
  const sizes = [0, 1, 1_023, 1_024, 1_025, 2_047, 2_048, 2_049, 10_240, 10_241];
  const holds = [1, 1_024, 100_000];
  const cases = sizes.flatMap((size) => holds.map((held) => [size, held] as const));

  it.each(cases)('%i bytes, %i held: come back the same', async (size, heldBodyBytes) => {
    const cluster = await open({ config: { segmentBytes, heldBodyBytes, readAheadBytes: 100 } });
    for (const [chunk, isSizeKnown] of [
      [1_024, true],
      [1_024, false],
      [333, true],
      [333, false],
      [100_000, false],
    ] as const) {
      const bytes = patternBytes(size, chunk);
      const options = isSizeKnown ? {} : ({ sizeBytes: undefined } as never);
      const path = `/${chunk}-${isSizeKnown}`;
      const { info } = await cluster.put(path, chunksOf(bytes, chunk), options);
      expect(info.file).toMatchObject({ sizeBytes: size, md5: md5Of(bytes) });
      expect(info.file.blobs).toHaveLength(Math.max(1, Math.ceil(size / segmentBytes)));
      expect(await cluster.get(path)).toEqual(bytes);
    }
  });

  it('survive nodes that fail at every blob', async () => {
    const cluster = await open({ config: { segmentBytes, heldBodyBytes: 600 }, seed: 5 });
    const random = seededRandom(5);
    for (const { store } of cluster.nodes.all) {
      store.fault = (operation) => {
        if (operation === 'put' && random() < 0.3) throw new StoreError('unavailable', 'Injected.');
      };
    }
    const bytes = patternBytes(50_000);
    await cluster.put('/a', chunksOf(bytes, 700));
    expect(await cluster.get('/a')).toEqual(bytes);
  });

  it('never leave the master with more held than allowed, and are stored all the same', async () => {
    const heldTotalBytes = 20_000;
    const cluster = await open({ config: { heldBodyBytes: 10_000, heldTotalBytes } });
    const gates: (() => void)[] = [];
    for (const { store } of cluster.nodes.all) {
      store.fault = (operation) =>
        operation === 'put' ? new Promise((resolve) => gates.push(resolve)) : undefined;
    }
    const bytes = Array.from({ length: 10 }, (_, i) => patternBytes(9_000, i));
    const puts = bytes.map((each, i) => cluster.put(`/${i}`, chunksOf(each, 1_000)));
    while (gates.length < 10) await new Promise(setImmediate);
    const all = cluster.nodes.all.flatMap(({ store }) => store.puts);
    expect(all.filter(({ isHeld }) => isHeld)).toHaveLength(2);
    for (const open of gates) open();
    await Promise.all(puts);
    for (const [i, each] of bytes.entries()) expect(await cluster.get(`/${i}`)).toEqual(each);
    // What was held was given back: the next two are held again.
    for (const { store } of cluster.nodes.all) store.fault = undefined;
    await cluster.put('/x', patternBytes(9_000));
    expect(
      cluster.nodes.all.flatMap(({ store }) => store.puts.slice(-1)).some((p) => p.isHeld),
    ).toBe(true);
  });
});

describe('more copies before the answer', () => {
  it('are made, and count as stored', async () => {
    const cluster = await open();
    const { info } = await cluster.put('/a', patternBytes(10), { minCopies: 2 });
    expect(info.copies).toEqual({ stored: 2, wanted: 3 });
    const blobId = info.file.blobs[0]?.blobId as never;
    const holders = cluster.nodes.all.filter(({ store }) => store.ids.includes(blobId));
    expect(holders).toHaveLength(2);
    const rows = (await cluster.metadata.replicasOf([blobId])).get(blobId) ?? [];
    const stored = rows.filter(({ state }) => state === 'stored').map(({ nodeId }) => nodeId);
    expect(stored.sort()).toEqual(holders.map(({ id }) => id).sort());
    expect(cluster.hints).toHaveLength(1);
    expect(cluster.hints[0]?.sources).toHaveLength(2);
  });

  it('are made of every blob of a long file', async () => {
    const cluster = await open({ config: { ...streamed, segmentBytes: 20_000, minCopies: 3 } });
    const { info } = await cluster.put('/a', chunksOf(longBytes, 1_000));
    expect(info.copies).toEqual({ stored: 3, wanted: 3 });
    for (const { store } of cluster.nodes.all) expect(store.ids).toHaveLength(3);
    expect(cluster.hints).toEqual([]);
  });

  it('beyond the configured number raise the number that the file wants', async () => {
    const cluster = await open({ nodes: 5 });
    const { info } = await cluster.put('/a', patternBytes(10), { minCopies: 5 });
    expect(info.copies).toEqual({ stored: 5, wanted: 5 });
  });

  it('go to other nodes when the planned ones fail', async () => {
    const cluster = await open({ nodes: 4, config: { copies: 2 } });
    const failed = new Set<NodeId>();
    for (const { id, store } of cluster.nodes.all) {
      store.fault = (operation) => {
        if (operation !== 'pull' || (failed.size >= 2 && !failed.has(id))) return;
        failed.add(id);
        throw new StoreError('internal', 'Injected.');
      };
    }
    const { info } = await cluster.put('/a', patternBytes(10), { minCopies: 2 });
    expect(info.copies).toEqual({ stored: 2, wanted: 2 });
    expect(failed.size).toBe(2);
    expect(cluster.hints).toEqual([]);
  });

  it('that cannot be made refuse the upload, and nothing is bound', async () => {
    const cluster = await open({ nodes: 2 });
    const put = cluster.put('/a', patternBytes(10), { minCopies: 3 });
    await expect(put).rejects.toMatchObject({ kind: 'unavailable' });
    expect(await isBound(cluster, '/a')).toBe(false);
    const failing = await open();
    for (const { store } of failing.nodes.all) {
      store.fault = (operation) => {
        if (operation === 'pull') throw new StoreError('unavailable', 'The source is away.');
      };
    }
    await expect(failing.put('/a', patternBytes(10), { minCopies: 2 })).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('source'),
    });
    expect(await isBound(failing, '/a')).toBe(false);
  });
});

describe('putting again', () => {
  it('with the same key gives the first outcome and does not read the body', async () => {
    const cluster = await open();
    const idempotencyKey = 'key-1';
    const options = { idempotencyKey, onConflict: 'rename' } as const;
    await cluster.put('/a.txt', Buffer.from('other'));
    const first = await cluster.put('/a.txt', patternBytes(10), options);
    const second = await cluster.put('/a.txt', patternBytes(10), options);
    expect(first.info.path).toBe('/a (1).txt');
    expect(second).toMatchObject({ repeated: true, isNew: true });
    expect(second.info.path).toBe('/a (1).txt');
    expect(second.info.file).toEqual(first.info.file);
    expect(second.info.copies).toEqual({ stored: 1, wanted: 3 });
    expect(cluster.nodes.all.flatMap(({ store }) => store.puts)).toHaveLength(2);
  });

  it('with the same key at the same time binds one name', async () => {
    const cluster = await open();
    const options = { idempotencyKey: 'key-2', onConflict: 'rename' } as const;
    const puts = [1, 2].map(() => cluster.put('/a.txt', patternBytes(10), options));
    const outcomes = await Promise.all(puts);
    expect(outcomes.map(({ repeated }) => repeated).sort()).toEqual([false, true]);
    expect(new Set(outcomes.map(({ info }) => info.path))).toEqual(new Set(['/a.txt']));
    expect(await isBound(cluster, '/a (1).txt')).toBe(false);
    // The copies of the one that lost belong nowhere.
    expect(cluster.hints).toHaveLength(2);
  });

  it('is accepted before the body by a known key, though the name is taken now', async () => {
    const cluster = await open();
    const options = { idempotencyKey: 'key-3', onConflict: 'fail' } as const;
    await cluster.put('/a', patternBytes(10), options);
    await cluster.files.checkPut({ path: pathOf('/a'), ...options });
    expect(await cluster.put('/a', patternBytes(10), options)).toMatchObject({ repeated: true });
  });

  it('by four writers of one name keeps four files or one winner, never a mixture', async () => {
    const cluster = await open({ config: { ...streamed, segmentBytes: 20_000 } });
    const bodies = [1, 2, 3, 4].map((seed) => patternBytes(50_000, seed));
    const putAll = (path: string, onConflict: 'rename' | 'replace' | 'fail') =>
      Promise.allSettled(
        bodies.map((bytes) => cluster.put(path, chunksOf(bytes, 999), { onConflict })),
      );
    const renamed = await putAll('/renamed.bin', 'rename');
    const paths = renamed.map((each) => (each.status === 'fulfilled' ? each.value.info.path : ''));
    expect(new Set(paths).size).toBe(4);
    for (const [i, path] of paths.entries()) expect(await cluster.get(path)).toEqual(bodies[i]);
    const replaced = await putAll('/replaced.bin', 'replace');
    expect(replaced.every(({ status }) => status === 'fulfilled')).toBe(true);
    expect(bodies).toContainEqual(await cluster.get('/replaced.bin'));
    const refused = await putAll('/refused.bin', 'fail');
    expect(refused.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const each of refused) {
      if (each.status === 'rejected') expect(each.reason.kind).toBe('precondition-failed');
    }
  });
});

describe('refusing before the body', () => {
  it.each([
    ['a directory', '/d', {}, 'is-a-directory'],
    ['the root', '/', {}, 'is-a-directory'],
    ['a name under a file', '/f/x/y', {}, 'not-a-directory'],
    ['a taken name that must be free', '/f', { ifNoneMatch: '*' }, 'precondition-failed'],
    ['a taken name, by onConflict', '/f', { onConflict: 'fail' }, 'precondition-failed'],
    ['another content than expected', '/f', { ifMatch: ['0'] }, 'precondition-failed'],
    [
      'a content that is there',
      '/f',
      { ifNoneMatch: [md5Of(Buffer.from('f'))] },
      'precondition-failed',
    ],
    ['a name that must exist', '/no', { ifMatch: '*' }, 'precondition-failed'],
    ['more bytes than there is room', '/no', { sizeBytes: 10 ** 9 }, 'no-room'],
    ['more copies than there are nodes', '/no', { minCopies: 4 }, 'unavailable'],
  ] as const)('%s', async (_, path, options, kind) => {
    const cluster = await open({ capacityBytes: 10 ** 6, config: streamed });
    await cluster.put('/f', Buffer.from('f'));
    await cluster.files.makeDirectory(pathOf('/d'));
    const request = { path: pathOf(path), onConflict: 'replace', ...options } as const;
    await expect(cluster.files.checkPut(request)).rejects.toMatchObject({ kind });
    // A long body is refused unread by the put itself.
    const body = new Readable({ read: () => expect.unreachable('the body was read') });
    const sizeBytes = 'sizeBytes' in options ? options.sizeBytes : 20_000;
    const put = cluster.putStream(path, body, { ...options, sizeBytes } as never);
    await expect(put).rejects.toMatchObject({ kind });
  });

  it.each([
    ['a free name', '/no', {}],
    ['a taken name', '/f', {}],
    ['a directory’s name that may change', '/d', { onConflict: 'rename' }],
    ['the expected content', '/f', { ifMatch: [md5Of(Buffer.from('f'))] }],
    ['any content', '/f', { ifMatch: '*' }],
    ['a free name that must be free', '/d/no', { ifNoneMatch: '*' }],
    ['parents that are not there yet', '/x/y/z', {}],
  ] as const)('but not %s', async (_, path, options) => {
    const cluster = await open();
    await cluster.put('/f', Buffer.from('f'));
    await cluster.files.makeDirectory(pathOf('/d'));
    await cluster.files.checkPut({ path: pathOf(path), onConflict: 'replace', ...options });
  });
});

describe('staged files', () => {
  const stage = (cluster: TestCluster, path: string, onConflict: 'replace' | 'fail' = 'replace') =>
    cluster.files.stage(
      requestOf(path, Readable.from([Buffer.from(path)]), { onConflict, sizeBytes: path.length }),
    );

  it('are bound all or none', async () => {
    const cluster = await open();
    await cluster.put('/taken', Buffer.from('first'));
    const staged = [await stage(cluster, '/one'), await stage(cluster, '/taken', 'fail')];
    expect(cluster.inUse.uploadingNow().size).toBe(2);
    await expect(cluster.files.bind(staged)).rejects.toMatchObject({ kind: 'precondition-failed' });
    expect(await isBound(cluster, '/one')).toBe(false);
    const good = [await stage(cluster, '/one'), await stage(cluster, '/two')];
    const outcomes = await cluster.files.bind(good);
    expect(outcomes.map(({ info }) => info.path)).toEqual(['/one', '/two']);
    expect(await cluster.get('/two')).toEqual(Buffer.from('/two'));
  });

  it('that are discarded are in no upload any more', async () => {
    const cluster = await open();
    const staged = [await stage(cluster, '/one')];
    cluster.files.discard(staged);
    cluster.files.discard(staged);
    expect(cluster.inUse.uploadingNow().size).toBe(0);
    expect(await isBound(cluster, '/one')).toBe(false);
  });
});

/** The next `count` puts fail at whichever nodes they reach; gives these nodes as they come. */
function failPuts(cluster: TestCluster, count: number, error: () => Error): NodeId[] {
  const failed: NodeId[] = [];
  for (const { id, store } of cluster.nodes.all) {
    store.fault = (operation) => {
      if (operation !== 'put' || failed.length >= count) return;
      failed.push(id);
      throw error();
    };
  }
  return failed;
}

function chunksOf(bytes: Buffer, chunkBytes: number): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.byteLength; at += chunkBytes) {
    chunks.push(bytes.subarray(at, at + chunkBytes));
  }
  return chunks;
}

function rejectionOf(promise: Promise<unknown>): { promise: Promise<void>; error: () => Error } {
  let caught: unknown;
  const settled = promise.then(
    () => expect.unreachable('it should have failed'),
    (error: unknown) => {
      caught = error;
    },
  );
  return { promise: settled, error: () => caught as Error };
}

import { Readable } from 'node:stream';
import { verifyBlobQuery } from '@dfs/shared';
import { md5Of, patternBytes } from '@dfs/shared/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { pathOf, requestOf, TestCluster, type TestClusterOptions } from './test-cluster.ts';

describe('the file service', () => {
  const clusters: TestCluster[] = [];
  const open = async (options?: TestClusterOptions) => {
    const cluster = await TestCluster.open(options);
    clusters.push(cluster);
    return cluster;
  };
  afterEach(async () => {
    for (const cluster of clusters.splice(0)) await cluster.close();
  });

  it('gives back what was put, with its facts', async () => {
    const cluster = await open();
    const bytes = patternBytes(5_000);
    const { info, isNew, repeated } = await cluster.put('/a/b/notes.txt', bytes);
    expect({ isNew, repeated }).toEqual({ isNew: true, repeated: false });
    expect(info).toMatchObject({
      path: '/a/b/notes.txt',
      file: { sizeBytes: 5_000, md5: md5Of(bytes), contentType: 'text/plain' },
      copies: { stored: 1, wanted: 3 },
    });
    const primary = cluster.nodes.get(info.primary?.id as never);
    expect(info.primary?.name).toBe(primary.name);
    expect(primary.store.ids).toEqual([info.file.blobs[0]?.blobId]);
    expect(info.file.id).toBe(info.file.blobs[0]?.blobId);
    expect(await cluster.get('/a/b/notes.txt')).toEqual(bytes);
  });

  it('describes each blob on its node as the database knows it', async () => {
    const cluster = await open({ config: { segmentBytes: 1_000, heldBodyBytes: 300 } });
    const bytes = patternBytes(2_500);
    const { info } = await cluster.put('/b.bin', bytes, { contentType: 'video/mp4' });
    expect(info.file.blobs.map(({ sizeBytes }) => sizeBytes)).toEqual([1_000, 1_000, 500]);
    for (const [sequence, { blobId, md5 }] of info.file.blobs.entries()) {
      const [replica] = (await cluster.metadata.replicasOf([blobId])).get(blobId) ?? [];
      const stored = await cluster.nodes.storeOf(replica?.nodeId as never).describe(blobId);
      expect(stored).toMatchObject({
        ...cluster.metadata.identity(),
        blobId,
        fileId: info.file.id,
        sequence,
        path: '/b.bin',
        contentType: 'video/mp4',
        createdAtMs: cluster.clock.now(),
        md5,
      });
      const whole = { blobCount: 3, sizeBytes: 2_500, md5: md5Of(bytes) };
      expect(stored?.whole).toEqual(sequence === 2 ? whole : undefined);
    }
  });

  it('hints at the copies to be made once the name is bound', async () => {
    const cluster = await open();
    const { info } = await cluster.put('/a', patternBytes(10));
    const [blob] = info.file.blobs;
    expect(cluster.hints).toHaveLength(2);
    for (const job of cluster.hints) {
      expect(job).toMatchObject({
        blobId: blob?.blobId,
        sizeBytes: 10,
        md5: blob?.md5,
        path: '/a',
        sources: [info.primary?.id],
      });
    }
    const targets = cluster.hints.map(({ target }) => target);
    expect(new Set([...targets, info.primary?.id]).size).toBe(3);
  });

  it('tells where the copies of a file lie', async () => {
    const cluster = await open();
    const { info } = await cluster.put('/a', patternBytes(10));
    const blobId = info.file.blobs[0]?.blobId as string;
    const replicas = await cluster.files.replicas({ path: pathOf('/a') });
    expect(replicas.map(({ role, state }) => `${role} ${state}`).sort()).toEqual([
      'primary stored',
      'replica wanted',
      'replica wanted',
    ]);
    for (const { node, path, sequence } of replicas) {
      expect(path).toBe(`/data/${node.name}/blobs/${blobId.slice(-2)}/${blobId}`);
      expect(sequence).toBe(0);
    }
    expect(await cluster.files.stat({ id: info.file.id })).toMatchObject({
      path: '/a',
      primary: info.primary,
      copies: { stored: 1, wanted: 3 },
    });
  });

  it('knows nothing of a file that is not there', async () => {
    const cluster = await open();
    expect(await cluster.files.find({ path: pathOf('/no') })).toBeUndefined();
    await expect(cluster.files.stat({ path: pathOf('/no') })).rejects.toMatchObject({
      kind: 'not-found',
    });
    await expect(cluster.files.replicas({ path: pathOf('/no') })).rejects.toMatchObject({
      kind: 'not-found',
    });
  });

  it('forgets a removed file at once', async () => {
    const cluster = await open();
    const { info } = await cluster.put('/a', patternBytes(10));
    await cluster.files.remove(pathOf('/a'));
    expect(await cluster.files.find({ path: pathOf('/a') })).toBeUndefined();
    expect(await cluster.files.find({ id: info.file.id })).toBeUndefined();
  });

  it('serves nothing while the master is in recovery', async () => {
    const cluster = await open();
    const { info } = await cluster.put('/a', patternBytes(10));
    cluster.nodes.recoveryReason = 'The database is older than its nodes.';
    const { files } = cluster;
    const { signal } = new AbortController();
    const root = pathOf('/');
    const calls: Record<string, Promise<unknown>> = {
      put: cluster.put('/b', patternBytes(10)),
      checkPut: files.checkPut({ path: pathOf('/b'), onConflict: 'replace' }),
      find: files.find({ path: pathOf('/a') }),
      stat: files.stat({ path: pathOf('/a') }),
      open: files.open(info.file, { signal }),
      locate: files.locate(info),
      sources: files.sources(info.file),
      list: files.list(root, { limit: 10 }),
      remove: files.remove(pathOf('/a')),
      makeDirectory: files.makeDirectory(pathOf('/d')),
      replicas: files.replicas({ path: pathOf('/a') }),
    };
    for (const [name, call] of Object.entries(calls)) {
      await expect(call, name).rejects.toMatchObject({
        kind: 'in-recovery',
        message: 'The database is older than its nodes.',
      });
    }
  });

  it('changes no name before a node has confirmed the database, and reads all the same', async () => {
    const cluster = await open();
    const { info } = await cluster.put('/a', patternBytes(10));
    const { files, nodes } = cluster;
    const staged = await files.stage(requestOf('/b', Readable.from([Buffer.from('b')])));
    nodes.confirmed = false;
    const calls: Record<string, Promise<unknown>> = {
      bind: files.bind([staged]),
      remove: files.remove(info.path),
      makeDirectory: files.makeDirectory(pathOf('/d')),
    };
    for (const [name, call] of Object.entries(calls)) {
      await expect(call, name).rejects.toMatchObject({ kind: 'unavailable' });
    }
    nodes.confirmed = true;
    const { entries } = await files.list(pathOf('/'), { limit: 10 });
    expect(entries.map((entry) => entry.name)).toEqual(['a']);
  });

  describe('sending readers to a node', () => {
    const key = Buffer.alloc(32, 7);

    it('signs a URL of a holder with a public address', async () => {
      const cluster = await open({ settings: { blobUrlKeyNow: () => key } });
      const { info } = await cluster.put('/dir/report.txt', patternBytes(10));
      const primary = cluster.nodes.get(info.primary?.id as never);
      expect(await cluster.files.locate(info)).toBeUndefined();
      primary.publicUrl = 'https://files.example/n1/';
      const url = new URL((await cluster.files.locate(info)) as string);
      const blobId = info.file.blobs[0]?.blobId as never;
      expect(url.origin + url.pathname).toBe(`https://files.example/n1/blobs/${blobId}`);
      const claims = verifyBlobQuery([key], blobId, url.searchParams, cluster.clock.now());
      expect(claims).toEqual({
        blobId,
        nodeId: primary.id,
        expiresAtSeconds: cluster.clock.now() / 1000 + 300,
        contentType: 'text/plain',
        fileName: 'report.txt',
      });
    });

    it('names no node that is avoided, down, or only to get a copy', async () => {
      const cluster = await open({ settings: { blobUrlKeyNow: () => key } });
      const { info } = await cluster.put('/a', patternBytes(10));
      for (const node of cluster.nodes.all) node.publicUrl = `http://${node.name}`;
      const primary = cluster.nodes.get(info.primary?.id as never);
      expect(await cluster.files.locate(info)).toContain(`http://${primary.name}/blobs/`);
      expect(await cluster.files.locate(info, primary.id)).toBeUndefined();
      primary.state = 'down';
      expect(await cluster.files.locate(info)).toBeUndefined();
    });

    it('sends nobody away for a file of several blobs, or without a key', async () => {
      const several = await open({
        settings: { blobUrlKeyNow: () => key },
        config: { segmentBytes: 5 },
      });
      const keyless = await open();
      for (const cluster of [several, keyless]) {
        for (const node of cluster.nodes.all) node.publicUrl = `http://${node.name}`;
        const { info } = await cluster.put('/a', patternBytes(10));
        expect(await cluster.files.locate(info)).toBeUndefined();
      }
    });
  });
});

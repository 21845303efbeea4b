import { join } from 'node:path';
import { Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { newBlobId } from '@dfs/shared';
import { ClusterKeyring, HttpBlobStore } from '@dfs/shared/cluster';
import {
  bytesOf,
  linesOfRecords,
  makeDescription,
  makeJournalRecords,
  makeSnapshot,
  md5Of,
  temporaryDirectory,
} from '@dfs/shared/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, codeOf } from './testing/raw-http.ts';
import { startTestNode, type TestNode } from './testing/test-node.ts';

const clusterKey = 'the key of this test';
let test: TestNode;
beforeAll(async () => {
  test = await startTestNode({ clusterKey });
  await test.node.registered;
});
afterAll(() => test.close());

const bodyOf = (first: number, last: number, epoch = 1) =>
  linesOfRecords(makeJournalRecords(first, last, { epoch }))
    .map((line) => `${line}\n`)
    .join('');

function send(
  method: string,
  path: string,
  given: Record<string, string> = {},
  body?: string | Buffer,
) {
  const headers = {
    'x-dfs-node': test.node.nodeId,
    'x-dfs-epoch': '1',
    'shard-key': clusterKey,
    ...given,
  };
  return ask(test.url + path, { method, headers, ...(body === undefined ? {} : { body }) });
}

it('survives a restart of the node, with its inventory', async () => {
  const folder = await temporaryDirectory();
  const dataDir = join(folder.path, 'data');
  const first = await startTestNode({ dataDir });
  await first.node.registered;
  const blobId = newBlobId();
  await first.client.put(blobId, Buffer.from('a blob'), {
    description: makeDescription({ blobId }),
  });
  const records = makeJournalRecords(1, 7);
  await first.client.journal.appendRecords(linesOfRecords(records));
  const bytes = makeSnapshot({ from: 3, to: 5 });
  await first.client.journal.putSnapshot({ epoch: 1, from: 3 }, Readable.from([bytes]));
  const before = await first.client.journal.journalStatus();
  await first.close();

  const second = await startTestNode({ dataDir });
  await second.node.registered;
  const { journal } = second.client;
  expect(second.node.nodeId).toBe(first.node.nodeId);
  expect(await journal.journalStatus()).toEqual(before);
  expect(await journal.readRecords(0)).toEqual(records);
  const opened = await journal.openSnapshot({ epoch: 1, from: 3 });
  expect((await bytesOf(opened.bytes)).equals(bytes)).toBe(true);
  const { blobs } = await second.client.inventory(undefined, 10);
  expect(blobs.map((blob) => blob.blobId)).toEqual([blobId]);
  await second.master.until(() => second.master.heartbeats.at(-1)?.journal === 7);
  await journal.appendRecords(linesOfRecords(makeJournalRecords(8, 9)));
  await second.close();
  await folder.remove();
});

describe('the journal of a node over HTTP', () => {
  it.each([
    ['GET', '/journal'],
    ['GET', '/journal/records?after=0'],
    ['POST', '/journal/records'],
    ['PUT', '/journal/snapshots/1-1'],
    ['GET', '/journal/snapshots/1-1'],
  ])('is for the cluster alone: %s %s', async (method, path) => {
    const body = method === 'GET' ? undefined : bodyOf(1, 1);
    const wrongKey = await send(method, path, { 'shard-key': 'guessed' }, body);
    expect([wrongKey.status, codeOf(wrongKey)]).toEqual([401, 'unauthorized']);
    const wrongNode = await send(method, path, { 'x-dfs-node': 'another' }, body);
    expect([wrongNode.status, codeOf(wrongNode)]).toEqual([421, 'wrong-node']);
  });

  it('takes no change that names no epoch', async () => {
    const headers = { 'x-dfs-node': test.node.nodeId, 'shard-key': clusterKey };
    const answer = await ask(`${test.url}/journal/records`, {
      method: 'POST',
      headers,
      body: bodyOf(1, 1),
    });
    expect([answer.status, codeOf(answer)]).toEqual([400, 'invalid-request']);
  });

  it('answers a gap with 409 and where it ends', async () => {
    expect((await send('POST', '/journal/records', {}, bodyOf(1, 3))).status).toBe(200);
    const answer = await send('POST', '/journal/records', {}, bodyOf(5, 6));
    expect([answer.status, codeOf(answer)]).toEqual([409, 'conflict']);
    expect(answer.body.toString()).toContain('ends with number 3 of epoch 1');
  });

  it('checks the digest of records that have one', async () => {
    const body = bodyOf(4, 5);
    const wrong = await send(
      'POST',
      '/journal/records',
      { 'x-dfs-md5': md5Of(Buffer.from('x')) },
      body,
    );
    expect([wrong.status, codeOf(wrong)]).toEqual([400, 'digest-mismatch']);
    const right = await send(
      'POST',
      '/journal/records',
      { 'x-dfs-md5': md5Of(Buffer.from(body)) },
      body,
    );
    expect([right.status, right.body.toString()]).toEqual([200, '{"last":5}']);
  });

  it('is told of in heartbeats, though the master named no number yet', async () => {
    await test.master.until(() => test.master.heartbeats.at(-1)?.journal === 5);
    expect(test.master.heartbeats.at(-1)).toMatchObject({ epoch: 1, journal: 5 });
  });

  it('takes nothing of records that break off in the middle of a line', async () => {
    const answer = await send('POST', '/journal/records', {}, bodyOf(6, 8).slice(0, -20));
    expect([answer.status, codeOf(answer)]).toEqual([400, 'incomplete-body']);
    const { body } = await send('GET', '/journal');
    expect(JSON.parse(body.toString())).toMatchObject({ last: 5 });
  });

  it('takes no snapshot without its digest behind it', async () => {
    const answer = await send('PUT', '/journal/snapshots/1-5', {}, makeSnapshot({ from: 5 }));
    expect([answer.status, codeOf(answer)]).toEqual([400, 'incomplete-body']);
  });

  it.each(['/journal/records', '/journal/records?after=-1', '/journal/records?after=x'])(
    'asks for a number: %s',
    async (path) => {
      expect((await send('GET', path)).status).toBe(400);
    },
  );

  it('knows no other places', async () => {
    for (const path of ['/journal/', '/journal/snapshots', '/journal/snapshots/1-x', '/journals']) {
      expect([path, (await send('GET', path)).status]).toEqual([path, 404]);
    }
    expect((await send('DELETE', '/journal/records')).status).toBe(404);
  });

  it('ends a snapshot whose sender stops in the middle, and takes the next one', async () => {
    const client = new HttpBlobStore({
      nodeId: test.node.nodeId,
      url: () => test.url,
      keyring: ClusterKeyring.of(clusterKey),
      epoch: () => 1,
    });
    const stuck = new Readable({ read() {} });
    const gzip = createGzip();
    gzip.write('{"snapshot":');
    gzip.flush(() => stuck.push(gzip.read()));
    const first = client.journal.putSnapshot({ epoch: 1, from: 5 }, stuck);
    const refused = expect(first).rejects.toBeDefined();
    const bytes = makeSnapshot({ from: 5 });
    const kept = await client.journal.putSnapshot({ epoch: 1, from: 5 }, Readable.from([bytes]));
    expect(kept.md5).toBe(md5Of(bytes));
    stuck.destroy();
    await refused;
    await client.close();
  });

  it('refuses the records of a master that works on an older epoch', async () => {
    expect(
      (await send('POST', '/journal/records', { 'x-dfs-epoch': '4' }, bodyOf(6, 6, 4))).status,
    ).toBe(200);
    const old = await send('POST', '/journal/records', {}, bodyOf(7, 7));
    expect([old.status, codeOf(old)]).toEqual([409, 'stale-epoch']);
    const disguised = await send('POST', '/journal/records', { 'x-dfs-epoch': '4' }, bodyOf(7, 7));
    expect([disguised.status, codeOf(disguised)]).toEqual([409, 'stale-epoch']);
  });
});

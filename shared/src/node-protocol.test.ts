import { describe, expect, it } from 'vitest';
import { type BlobId, newBlobId, newNodeId } from './ids.ts';
import {
  type BlobUrlClaims,
  decodeHeaderJson,
  deriveBlobUrlKey,
  encodeHeaderJson,
  keyOfHeaders,
  senderPauses,
  signBlobPath,
  verifyBlobQuery,
} from './node-protocol.ts';

const urlKey = deriveBlobUrlKey('the cluster key');
const nowMs = Date.UTC(2030, 0, 1);
const claims: BlobUrlClaims = {
  blobId: newBlobId(),
  nodeId: newNodeId(),
  expiresAtSeconds: nowMs / 1000 + 300,
  contentType: 'video/mp4',
  fileName: 'Größe & "Name" +%.mp4',
};

/** The path's blob id and query, as a server sees them. */
function received(path: string): { blobId: BlobId; query: URLSearchParams } {
  const { pathname, searchParams } = new URL(path, 'http://node');
  return { blobId: pathname.slice('/blobs/'.length) as BlobId, query: searchParams };
}

const verify = (path: string, atMs = nowMs, key = urlKey) => {
  const { blobId, query } = received(path);
  return verifyBlobQuery([key], blobId, query, atMs);
};

describe('a signed path', () => {
  it.each([
    claims,
    { blobId: claims.blobId, nodeId: claims.nodeId, expiresAtSeconds: claims.expiresAtSeconds },
    { ...claims, contentType: '', fileName: '' },
    { ...claims, fileName: 'a\nb\0c\u{1f4be}' },
  ])('opens what was signed, and tells it (%#)', (signed) => {
    expect(verify(signBlobPath(urlKey, signed))).toEqual(signed);
  });

  it.each([
    ['before it expires', 299_000, true],
    ['at the allowed difference of clocks', 360_000, true],
    ['after it', 360_001, false],
    ['long after', 10 * 86_400_000, false],
  ])('opens %s', (_, laterMs, isOpen) => {
    const found = verify(signBlobPath(urlKey, claims), nowMs + laterMs);
    expect(found !== undefined).toBe(isOpen);
  });

  it('does not open another blob', () => {
    const { query } = received(signBlobPath(urlKey, claims));
    expect(verifyBlobQuery([urlKey], newBlobId(), query, nowMs)).toBeUndefined();
  });

  it.each([
    ['node', newNodeId()],
    ['expires', String(claims.expiresAtSeconds + 1)],
    ['expires', 'Infinity'],
    ['expires', 'NaN'],
    ['expires', ''],
    ['type', 'text/html'],
    ['type', ''],
    ['name', 'other.mp4'],
    ['signature', ''],
    ['signature', 'x'],
    ['signature', 'A'.repeat(43)],
    ['signature', 'A'.repeat(10_000)],
  ])('does not open when %s is changed to %j', (name, value) => {
    const { blobId, query } = received(signBlobPath(urlKey, claims));
    query.set(name, value);
    expect(verifyBlobQuery([urlKey], blobId, query, nowMs)).toBeUndefined();
  });

  it.each(['node', 'expires', 'type', 'name', 'signature'])('does not open without %s', (name) => {
    const { blobId, query } = received(signBlobPath(urlKey, claims));
    query.delete(name);
    expect(verifyBlobQuery([urlKey], blobId, query, nowMs)).toBeUndefined();
  });

  it('does not open with every bit of its signature flipped in turn', () => {
    const { blobId, query } = received(signBlobPath(urlKey, claims));
    const signature = Buffer.from(query.get('signature') ?? '', 'base64url');
    expect(signature).toHaveLength(32);
    for (let bit = 0; bit < 256; bit += 1) {
      const forged = Buffer.from(signature);
      forged[bit >> 3] = (forged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      query.set('signature', forged.toString('base64url'));
      expect(verifyBlobQuery([urlKey], blobId, query, nowMs)).toBeUndefined();
    }
  });

  it('does not open in another cluster', () => {
    const otherKey = deriveBlobUrlKey('another cluster key');
    expect(verify(signBlobPath(otherKey, claims))).toBeUndefined();
  });

  it('cannot move what stands in the name over to the type', () => {
    const signed = { ...claims, contentType: 'text/plain', fileName: 'x\ntext/html' };
    const { blobId, query } = received(signBlobPath(urlKey, signed));
    query.set('type', 'text/plain\nx');
    query.set('name', 'text/html');
    expect(verifyBlobQuery([urlKey], blobId, query, nowMs)).toBeUndefined();
  });

  it('tells nothing of the cluster key', () => {
    expect(signBlobPath(urlKey, claims)).not.toContain('cluster');
    expect(urlKey).toHaveLength(32);
    expect(urlKey.toString()).not.toContain('the cluster key');
  });
});

describe('facts in a header', () => {
  it.each([{ a: [1, 'ä\u{1f4be}\n"'] }, null, 'text', 7])('%j comes back', (value) => {
    const header = encodeHeaderJson(value);
    expect(header).toMatch(/^[\w-]*$/);
    expect(decodeHeaderJson(header)).toEqual(value);
  });

  it.each(['', '-', '***', 'bm90IGpzb24'])('%j is refused', (text) => {
    expect(() => decodeHeaderJson(text)).toThrow(SyntaxError);
  });
});

describe('the key of a request', () => {
  it.each([
    [{ authorization: 'Bearer secret' }, 'secret'],
    [{ authorization: 'bearer   secret ' }, 'secret'],
    [{ 'shard-key': ' secret ' }, 'secret'],
    [{ 'shard-key': ['secret', 'other'] }, 'secret'],
    [{ authorization: 'Basic abc', 'shard-key': 'secret' }, 'secret'],
    [{ authorization: 'Bearer one', 'shard-key': 'one ' }, 'one'],
    [{ authorization: 'Bearer one', 'shard-key': 'two' }, undefined],
    [{}, undefined],
    [{ authorization: 'Bearer' }, undefined],
    [{ authorization: 'Bearer ' }, undefined],
    [{ authorization: 'secret' }, undefined],
    [{ 'shard-key': ' ' }, undefined],
  ])('in %j is %j', (headers, key) => {
    expect(keyOfHeaders(headers)).toBe(key);
  });
});

it('leaves it to the master to lose patience with a client that pauses', () => {
  const { clientMs, forwarderMs, nodeMs } = senderPauses;
  expect(forwarderMs - clientMs).toBeGreaterThanOrEqual(10_000);
  expect(nodeMs - forwarderMs).toBeGreaterThanOrEqual(10_000);
});

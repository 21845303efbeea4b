import type { IncomingHttpHeaders } from 'node:http';
import { type BlobUrlClaims, newNodeId, type StoredBlob, StoreError } from '@dfs/shared';
import { makeDescription, md5Of } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { answerFor } from './blob-answer.ts';
import type { Caller } from './node-access.ts';

const blob: StoredBlob = {
  ...makeDescription({ path: '/secret/name.txt' }),
  sizeBytes: 1000,
  md5: md5Of(Buffer.from('x')),
  storedAtMs: 1,
};
const etag = `"${blob.md5}"`;
const cluster: Caller = { kind: 'cluster' };
const link = (claims: Partial<BlobUrlClaims> = {}): Caller => ({
  kind: 'link',
  claims: { blobId: blob.blobId, nodeId: newNodeId(), expiresAtSeconds: 1, ...claims },
});

function ask(headers: IncomingHttpHeaders, { method = 'GET', caller = cluster } = {}) {
  const answer = answerFor(blob, { method, headers, caller });
  const pairs: [string, string][] = [];
  for (let i = 0; i < answer.headers.length; i += 2) {
    pairs.push([answer.headers[i] ?? '', answer.headers[i + 1] ?? '']);
  }
  return { ...answer, headers: Object.fromEntries(pairs) };
}

describe('the answer to a reader', () => {
  it.each<[string, IncomingHttpHeaders, number, number, number]>([
    ['nothing said', {}, 200, 0, 1000],
    ['a first range', { range: 'bytes=0-9' }, 206, 0, 10],
    ['an open range', { range: 'bytes=990-' }, 206, 990, 1000],
    ['a range past the end', { range: 'bytes=990-5000' }, 206, 990, 1000],
    ['a suffix', { range: 'bytes=-10' }, 206, 990, 1000],
    ['a suffix longer than all', { range: 'bytes=-5000' }, 206, 0, 1000],
    ['two ranges', { range: 'bytes=0-1,5-6' }, 200, 0, 1000],
    ['another unit', { range: 'lines=0-9' }, 200, 0, 1000],
    ['a range that makes no sense', { range: 'bytes=9-0' }, 200, 0, 1000],
    ['a range if the same', { range: 'bytes=0-9', 'if-range': etag }, 206, 0, 10],
    ['a range if another', { range: 'bytes=0-9', 'if-range': '"other"' }, 200, 0, 1000],
    ['not another', { 'if-none-match': '"other"' }, 200, 0, 1000],
  ])('is right for %s', (_, headers, status, start, end) => {
    const answer = ask(headers);
    expect([answer.status, answer.range]).toEqual([status, { start, end }]);
    expect(answer.headers['content-length']).toBe(String(end - start));
    expect(answer.headers['content-range']).toBe(
      status === 206 ? `bytes ${start}-${end - 1}/1000` : undefined,
    );
  });

  it.each(['bytes=1000-', 'bytes=5000-6000', 'bytes=-0'])('refuses %s', (range) => {
    expect(() => ask({ range })).toThrow(StoreError);
  });

  it.each(['*', etag, `W/${etag}`, `"other", ${etag}`])('is 304 for If-None-Match %s', (header) => {
    const answer = ask({ 'if-none-match': header, range: 'bytes=0-9' });
    expect([answer.status, answer.range]).toEqual([304, undefined]);
    expect(answer.headers['etag']).toBe(etag);
  });

  it('has the headers of a GET and no bytes for HEAD', () => {
    const head = ask({ range: 'bytes=0-9' }, { method: 'HEAD' });
    expect(head.range).toBeUndefined();
    expect(head.headers).toEqual(ask({ range: 'bytes=0-9' }).headers);
  });

  it('tells the description to the cluster and to other nodes, never to the holder of a link', () => {
    const wants = { 'x-dfs-want-description': '1' };
    const described = (caller: Caller) => 'x-dfs-description' in ask(wants, { caller }).headers;
    expect(described(cluster)).toBe(true);
    expect(described(link({ contentType: 'application/vnd.dfs.blob' }))).toBe(true);
    expect(described(link())).toBe(false);
    expect(described(link({ contentType: 'text/plain' }))).toBe(false);
  });

  it('lets content that users uploaded do nothing in a browser', () => {
    const { headers } = ask({}, { caller: link({ contentType: 'text/html' }) });
    expect(headers).toMatchObject({
      'content-type': 'text/html',
      'Content-Security-Policy': 'sandbox',
      'X-Content-Type-Options': 'nosniff',
    });
    const video = ask({}, { caller: link({ contentType: 'video/mp4' }) });
    expect(video.headers).not.toHaveProperty('Content-Security-Policy');
    expect(video.headers).toHaveProperty('X-Content-Type-Options', 'nosniff');
  });

  it('names the file so that every browser saves it', () => {
    const { headers } = ask({}, { caller: link({ fileName: 'Zoë.txt' }) });
    expect(headers['content-disposition']).toBe(
      `inline; filename="Zo_.txt"; filename*=UTF-8''Zo%C3%AB.txt`,
    );
  });

  it('sends a content type that is no header value as bytes', () => {
    const { headers } = ask({}, { caller: link({ contentType: 'text/\r\nx: y' }) });
    expect(headers['content-type']).toBe('application/octet-stream');
  });
});

import type { IncomingHttpHeaders } from 'node:http';
import {
  type ByteRange,
  contentRangeOf,
  encodeHeaderJson,
  lengthOf,
  nodeHeaders,
  parseRangeHeader,
  resolveRange,
  type StoredBlob,
  StoreError,
} from '@dfs/shared';
import { dispositionOf, harmlessHeaders } from '@dfs/shared/serving';
import { peerContentType } from './blob-fetcher.ts';
import type { BlobFacts } from './cache/source-bytes.ts';
import type { Caller } from './node-access.ts';

/** What to send for a blob: status and headers, and which bytes unless the headers are all. */
export interface BlobAnswer {
  readonly status: 200 | 206 | 304;
  /** Names and values by turns. */
  readonly headers: string[];
  readonly range?: ByteRange;
}

export interface BlobQuestion {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly caller: Caller;
}

/**
 * Decides the answer to a GET or HEAD of a blob (RFC 9110 sections 13 and 14). One range is
 * answered as such, several with the whole, which the RFC allows. Pure. Throws
 * `range-not-satisfiable`.
 */
export function answerFor(
  blob: StoredBlob | BlobFacts,
  { method, headers, caller }: BlobQuestion,
): BlobAnswer {
  const etag = `"${blob.md5}"`;
  const all = { start: 0, end: blob.sizeBytes };
  const answer = ['etag', etag, 'accept-ranges', 'bytes', ...headersFor(blob, headers, caller)];
  if (isNamedIn(headers['if-none-match'], etag)) return { status: 304, headers: answer };
  const ifRange = headers['if-range'];
  const asked =
    ifRange === undefined || ifRange === etag ? rangeOf(headers.range, blob) : undefined;
  const range = asked ?? all;
  answer.push('content-length', String(lengthOf(range)));
  if (asked) answer.push('content-range', contentRangeOf(asked, blob.sizeBytes));
  const status = asked ? 206 : 200;
  return method === 'HEAD' ? { status, headers: answer } : { status, headers: answer, range };
}

function rangeOf(header: string | undefined, { sizeBytes }: BlobFacts): ByteRange | undefined {
  if (header === undefined) return undefined;
  const specs = parseRangeHeader(header);
  const spec = specs?.length === 1 ? specs[0] : undefined;
  if (!spec) return undefined;
  const range = resolveRange(spec, sizeBytes);
  if (range) return range;
  throw new StoreError(
    'range-not-satisfiable',
    `The range lies outside the blob of ${sizeBytes} bytes.`,
  );
}

const isNamedIn = (header: string | undefined, etag: string) =>
  header !== undefined &&
  (header.trim() === '*' ||
    header.split(',').some((each) => each.trim().replace(/^W\//, '') === etag));

function headersFor(
  blob: StoredBlob | BlobFacts,
  asked: IncomingHttpHeaders,
  caller: Caller,
): string[] {
  const wantsDescription = asked[nodeHeaders.wantDescription] === '1';
  if (caller.kind === 'cluster') {
    const type = ['content-type', 'application/octet-stream'];
    return wantsDescription ? [...type, nodeHeaders.description, encodeHeaderJson(blob)] : type;
  }
  const { contentType, fileName } = caller.claims;
  const isPeer = contentType === peerContentType;
  const type =
    contentType !== undefined && /^[\x20-\x7e]+$/.test(contentType)
      ? contentType
      : 'application/octet-stream';
  return [
    'content-type',
    type,
    ...Object.entries(harmlessHeaders(type)).flat(),
    ...(fileName === undefined ? [] : ['content-disposition', dispositionOf(fileName, 'inline')]),
    ...(wantsDescription && isPeer ? [nodeHeaders.description, encodeHeaderJson(blob)] : []),
  ];
}

import type { IncomingHttpHeaders } from 'node:http';
import { baseNameOf, type FilePath, StoreError } from '@dfs/shared';
import { readAttributes } from '@dfs/shared/serving';
import type { PutRequest } from '../../files/file-types.ts';
import type { OnConflict } from '../../metadata/metadata-repository.ts';
import { contentTypeOf, isMediaType } from './content-type.ts';
import { parseIsoTime } from './iso-time.ts';

const minCopiesMax = 16;
const idempotencyKeyMaxLength = 255;

const refuse = (message: string, hint: string) =>
  new StoreError('invalid-request', message, { hint });

/** All that a PUT says besides its body, its digest and its conditions. */
export type PutParameters = Omit<
  PutRequest,
  'body' | 'signal' | 'expectedMd5' | 'ifMatch' | 'ifNoneMatch'
>;

/** Reads the headers and the query of a PUT to this path. Rejects with `invalid-request`, naming what is wrong. */
export function readPutParameters(
  path: FilePath,
  headers: IncomingHttpHeaders,
  query: URLSearchParams,
): PutParameters {
  refuseWhatIsNotWhole(headers);
  const sizeBytes = readSize(headers);
  const attributes = readAttributes(headers);
  const minCopies = readMinCopies(query.get('minCopies'));
  const isPublic = parseMode(query.get('mode') ?? undefined);
  const modifiedAtMs = readModified(headers['x-dfs-modified']);
  const idempotencyKey = readIdempotencyKey(headers['idempotency-key']);
  return {
    path,
    onConflict: parseOnConflict(query.get('onConflict') ?? undefined) ?? 'replace',
    contentType: readContentType(headers['content-type'], path),
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
    ...(attributes === undefined ? {} : { attributes }),
    ...(minCopies === undefined ? {} : { minCopies }),
    ...(isPublic === undefined ? {} : { isPublic }),
    ...(modifiedAtMs === undefined ? {} : { modifiedAtMs }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
  };
}

/** A body that is a part or a coding of the file would be stored as if it were the file. */
function refuseWhatIsNotWhole(headers: IncomingHttpHeaders): void {
  if (headers['content-range'] !== undefined) {
    throw refuse(
      'A PUT stores a whole file, and this one carries Content-Range.',
      'Send the whole file without Content-Range (RFC 9110 section 14.5).',
    );
  }
  const coding = headers['content-encoding'];
  if (coding !== undefined && coding.trim().toLowerCase() !== 'identity') {
    throw refuse(
      'The body carries a Content-Encoding, and files are stored as the bytes that are sent.',
      'Leave the header out, and give the bytes the content type of what they are, such as application/gzip.',
    );
  }
  const transfer = headers['transfer-encoding'];
  if (transfer !== undefined && transfer.trim().toLowerCase() !== 'chunked') {
    throw refuse('The body has a Transfer-Encoding other than chunked.', 'Send it chunked only.');
  }
}

/** `Content-Length`, or for a chunked body what `X-DFS-Size` declares. */
function readSize(headers: IncomingHttpHeaders): number | undefined {
  const length = headers['content-length'];
  const declared = headers['x-dfs-size'];
  const sizes = [length, declared].flatMap((text) => {
    if (text === undefined) return [];
    const size = /^\d{1,16}$/.test(String(text)) ? Number(text) : Number.NaN;
    if (Number.isSafeInteger(size)) return [size];
    throw refuse('The declared length of the body is no number of bytes.', 'Write digits only.');
  });
  if (sizes.length === 2 && sizes[0] !== sizes[1]) {
    throw refuse('Content-Length and X-DFS-Size differ.', 'Leave X-DFS-Size out.');
  }
  // A request with neither has no body (RFC 9112 section 6.3).
  return sizes[0] ?? (headers['transfer-encoding'] === undefined ? 0 : undefined);
}

function readContentType(header: string | undefined, path: FilePath): string {
  if (header !== undefined && header.trim() !== '' && !isMediaType(header.trim())) {
    throw refuse('Content-Type holds no media type.', 'Write one such as text/plain.');
  }
  return contentTypeOf(header, baseNameOf(path));
}

function readMinCopies(text: string | null): number | undefined {
  if (text === null) return undefined;
  const copies = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (copies >= 1 && copies <= minCopiesMax) return copies;
  throw refuse(
    'The parameter minCopies is no number of copies.',
    `Give a number from 1 to ${minCopiesMax}.`,
  );
}

function readModified(header: string | string[] | undefined): number | undefined {
  return header === undefined ? undefined : parseIsoTime(String(header), 'X-DFS-Modified');
}

function readIdempotencyKey(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  if (typeof header === 'string' && /^[\x21-\x7e]+$/.test(header)) {
    if (header.length <= idempotencyKeyMaxLength) return header;
  }
  throw refuse(
    'The Idempotency-Key is empty, too long, or holds other than printable ASCII.',
    `Use up to ${idempotencyKeyMaxLength} characters, such as a UUID.`,
  );
}

/** `mode`, of a query or a form. Rejects with `invalid-request`. */
export function parseMode(mode: string | undefined): boolean | undefined {
  if (mode === undefined) return undefined;
  if (mode === 'public' || mode === 'private') return mode === 'public';
  throw refuse('The mode is neither public nor private.', 'Write mode=public or mode=private.');
}

/** `onConflict`, of a query or a form. Rejects with `invalid-request`. */
export function parseOnConflict(text: string | undefined): OnConflict | undefined {
  if (text === undefined) return undefined;
  if (text === 'replace' || text === 'rename' || text === 'fail') return text;
  throw refuse(
    'The rule onConflict is none of replace, rename and fail.',
    'Write one of the three.',
  );
}

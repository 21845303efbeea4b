import type { IncomingMessage } from 'node:http';
import {
  type BlobDescription,
  type BlobId,
  decodeHeaderJson,
  nodeHeaders,
  type PutOptions,
  parseClusterId,
  parseFileId,
  StoreError,
  type WholeFile,
} from '@dfs/shared';

/** What a PUT says in its headers, and will say in its trailer. Rejects with `invalid-request`. */
export function putOptionsOf(request: IncomingMessage, id: BlobId): PutOptions {
  const { headers } = request;
  const description = descriptionOf(headers[nodeHeaders.description], id);
  const sizeBytes = sizeOf(request);
  const md5 = headers[nodeHeaders.md5];
  if (md5 !== undefined && !/^[0-9a-f]{32}$/i.test(String(md5))) throw badHeader(nodeHeaders.md5);
  const isPart = headers[nodeHeaders.part] === '1';
  return {
    description,
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
    ...(md5 === undefined ? {} : { expectedMd5: String(md5).toLowerCase() }),
    ...(isPart ? { whole: () => wholeOf(request.trailers[nodeHeaders.whole]) } : {}),
  };
}

function sizeOf(request: IncomingMessage): number | undefined {
  const { headers } = request;
  const announced =
    headers[nodeHeaders.size] === undefined ? undefined : integerHeader(request, nodeHeaders.size);
  const length = headers['content-length'];
  if (length === undefined) return announced;
  if (announced !== undefined && announced !== Number(length)) throw badHeader(nodeHeaders.size);
  return Number(length);
}

function descriptionOf(header: string | string[] | undefined, id: BlobId): BlobDescription {
  const given = jsonOf<BlobDescription>(header, nodeHeaders.description);
  const { epoch, sequence, path, contentType, createdAtMs } = given;
  const isWellFormed =
    typeof path === 'string' &&
    typeof contentType === 'string' &&
    [epoch, sequence, createdAtMs].every((number) => Number.isSafeInteger(number));
  if (!isWellFormed || given.blobId !== id) throw badHeader(nodeHeaders.description);
  return {
    clusterId: parseClusterId(String(given.clusterId)),
    epoch,
    blobId: id,
    fileId: parseFileId(String(given.fileId)),
    sequence,
    path,
    contentType,
    createdAtMs,
  };
}

/**
 * The trailer behind a body that is part of a larger file. Without it, nobody said that the body
 * was complete.
 */
function wholeOf(trailer: string | undefined): WholeFile | undefined {
  if (trailer === '-') return undefined;
  if (trailer === undefined) {
    throw new StoreError('incomplete-body', `The trailer ${nodeHeaders.whole} is missing.`);
  }
  const { blobCount, sizeBytes, md5 } = jsonOf<WholeFile>(trailer, nodeHeaders.whole);
  const isWellFormed =
    Number.isSafeInteger(blobCount) && Number.isSafeInteger(sizeBytes) && typeof md5 === 'string';
  if (!isWellFormed) throw badHeader(nodeHeaders.whole);
  return { blobCount, sizeBytes, md5 };
}

function jsonOf<Value extends object>(text: string | string[] | undefined, name: string): Value {
  try {
    const value = decodeHeaderJson(String(text));
    if (typeof value === 'object' && value !== null) return value as Value;
  } catch {
    // Said below.
  }
  throw badHeader(name);
}

/** The epoch that a changing request must name. */
export const epochOf = (request: IncomingMessage) => integerHeader(request, nodeHeaders.epoch);

/** A header that is a whole number. Rejects with `invalid-request` when it is not. */
export function integerHeader(request: IncomingMessage, name: string): number {
  const text = String(request.headers[name]);
  if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  throw badHeader(name);
}

const badHeader = (name: string) =>
  new StoreError('invalid-request', `The header ${name} is missing or makes no sense.`, {
    hint: 'Run the same version of dfs everywhere.',
  });

import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import type { BlobId, NodeId } from './ids.ts';

/**
 * The HTTP that a storage node speaks, in the words that both ends need.
 *
 *   PUT    /blobs/<id>            store; body raw; `x-dfs-description` (base64url JSON of BlobDescription), `x-dfs-md5` (expected),
 *                                 `content-length` or chunked with `x-dfs-size` where known; `x-dfs-part: 1` announces that the blob is part of a larger
 *                                 file and that a trailer `x-dfs-whole` (base64url JSON of WholeFile, or `-` for none) follows the body → 201 BlobReceipt
 *   GET    /blobs/<id>            bytes; `range: bytes=a-b` (one range) → 200 or 206; with `x-dfs-want-description: 1` answers `x-dfs-description` (StoredBlob).
 *                                 From the node's cache, with `x-dfs-cached: 1`, when it has no stored copy and no description is wanted
 *   HEAD   /blobs/<id>            as GET without the body; an error tells its kind in `x-dfs-error`
 *   DELETE /blobs/<id>            `x-dfs-expires` (ms of the master's clock) → 204
 *   POST   /pull                  JSON PullRequest → 200 BlobReceipt
 *   GET    /inventory?after=&limit=   → InventoryPage
 *   POST   /scrub                begins to read every blob again now → 202 ScrubStatus; GET: how far it got → 200 ScrubStatus
 *   POST   /cache                 JSON CacheRequest → 202 CacheAnswer: it fetches these blobs into its cache in the background; 507 when it caches nothing
 *   DELETE /cache                 JSON CacheDrop → 204
 *   GET    /cache?after=&limit=   → CachePage
 *   GET    /status                → NodeStatus
 *   GET    /journal               → JournalStatus
 *   POST   /journal/records       NDJSON of JournalRecord; `x-dfs-md5` of the body where given is checked → 200 { last }, durable; 409 conflict names the last number
 *   GET    /journal/records?after=n   → NDJSON of the records after n that follow one another, about a megabyte; empty: none
 *   PUT    /journal/snapshots/<epoch>-<from>   the gzip of `journal-format.ts`, chunked, with a trailer `x-dfs-md5` of all bytes → 201 KeptSnapshot
 *   GET    /journal/snapshots/<epoch>-<from>   → its bytes, `x-dfs-md5` of them
 *   GET    /healthz               → 200 without any key
 *
 * Every request but /healthz carries the cluster key (`authorization: Bearer …`) and `x-dfs-node` (the node id it is meant for: another node answers 421),
 * and, where it changes something, `x-dfs-epoch`. A GET or HEAD of a blob may carry a signature in the query instead of key and node: `signBlobPath`.
 */
export const nodeHeaders = {
  node: 'x-dfs-node',
  epoch: 'x-dfs-epoch',
  description: 'x-dfs-description',
  wantDescription: 'x-dfs-want-description',
  md5: 'x-dfs-md5',
  size: 'x-dfs-size',
  part: 'x-dfs-part',
  whole: 'x-dfs-whole',
  expires: 'x-dfs-expires',
  cached: 'x-dfs-cached',
  error: 'x-dfs-error',
} as const;

/** How long to wait for a node: connect, then headers, then between bytes. ms. */
export const nodeLimits = { connectMs: 1_000, headersMs: 5_000, idleMs: 10_000 } as const;

/**
 * How long who sends a body may pause, ms: a client of the master, what passes it on to the master, and who sends to a node. The first to lose patience is the one that knows
 * whose fault it is; a node that gave up first would be blamed for a client that pauses.
 */
export const senderPauses = { clientMs: 60_000, forwarderMs: 75_000, nodeMs: 90_000 } as const;

/** What a `CacheReport` holds at most. */
export const cacheReportLimits = { blobs: 1_000, reads: 100 } as const;
/** Blobs in one `POST` or `DELETE` of a node's cache, at most. */
export const blobsInCacheRequestMax = 1_000;

export interface NodeStatus {
  readonly nodeId: NodeId;
  readonly name: string;
  readonly version: string;
  readonly clusterId?: string;
  readonly epoch: number;
  readonly capacityBytes: number;
  readonly freeBytes: number;
  readonly usedBytes: number;
  readonly blobCount: number;
}

export const blobPathOf = (blobId: BlobId) => `/blobs/${blobId}`;

export const encodeHeaderJson = (value: unknown) =>
  Buffer.from(JSON.stringify(value)).toString('base64url');
/** Parses what `encodeHeaderJson` made; rejects with SyntaxError on anything else. The caller judges the shape. */
export const decodeHeaderJson = (text: string): unknown =>
  JSON.parse(Buffer.from(text, 'base64url').toString());

/** The key for signed blob URLs, derived from the cluster key (HKDF, RFC 5869), so that a signature gives nothing of it away. */
export function deriveBlobUrlKey(clusterKey: string): Buffer {
  return Buffer.from(hkdfSync('sha256', clusterKey, '', 'dfs blob url v1', 32));
}

export interface BlobUrlClaims {
  readonly blobId: BlobId;
  readonly nodeId: NodeId;
  /** Unix seconds, by the signer's clock. */
  readonly expiresAtSeconds: number;
  /** What a browser is told: media type and file name for Content-Disposition (RFC 6266). */
  readonly contentType?: string;
  readonly fileName?: string;
}

/** JSON keeps the fields apart whatever characters a name or a type holds. */
const textOf = (claims: BlobUrlClaims) =>
  JSON.stringify([
    'v1',
    claims.blobId,
    claims.nodeId,
    claims.expiresAtSeconds,
    claims.contentType ?? null,
    claims.fileName ?? null,
  ]);

/** Path and query that open one blob of one node for GET and HEAD until it expires. `urlKey` from `deriveBlobUrlKey`. */
export function signBlobPath(urlKey: Buffer, claims: BlobUrlClaims): string {
  const query = new URLSearchParams({
    node: claims.nodeId,
    expires: String(claims.expiresAtSeconds),
  });
  if (claims.contentType !== undefined) query.set('type', claims.contentType);
  if (claims.fileName !== undefined) query.set('name', claims.fileName);
  query.set('signature', createHmac('sha256', urlKey).update(textOf(claims)).digest('base64url'));
  return `${blobPathOf(claims.blobId)}?${query}`;
}

/**
 * The claims of a signed query when the signature is right under one of `urlKeys` and not yet expired (`nowMs`; 60 s of difference between clocks are
 * allowed), else undefined. Whether `nodeId` is this node is for the caller to judge (421).
 */
export function verifyBlobQuery(
  urlKeys: readonly Buffer[],
  blobId: BlobId,
  query: URLSearchParams,
  nowMs: number,
): BlobUrlClaims | undefined {
  const contentType = query.get('type');
  const fileName = query.get('name');
  const claims: BlobUrlClaims = {
    blobId,
    nodeId: (query.get('node') ?? '') as NodeId,
    expiresAtSeconds: Number(query.get('expires')),
    ...(contentType === null ? {} : { contentType }),
    ...(fileName === null ? {} : { fileName }),
  };
  const given = Buffer.from(query.get('signature') ?? '', 'base64url');
  const text = textOf(claims);
  const isRight = urlKeys.some((urlKey) => {
    const expected = createHmac('sha256', urlKey).update(text).digest();
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
  if (!isRight) return undefined;
  return claims.expiresAtSeconds * 1000 + 60_000 >= nowMs ? claims : undefined;
}

/**
 * The key in `Authorization: Bearer …` or `SHARD-KEY`, blanks around it dropped; undefined when neither is there, and when both are and
 * differ: of two answers to one question, at least one is wrong.
 */
export function keyOfHeaders(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): string | undefined {
  const bearer = /^Bearer\s+(.+)$/i.exec(String(headers['authorization'] ?? '').trim())?.[1];
  const shardKey = headers['shard-key'];
  const key = (Array.isArray(shardKey) ? shardKey[0] : shardKey)?.trim() || undefined;
  if (bearer === undefined) return key;
  return key === undefined || key === bearer.trim() ? bearer.trim() || undefined : undefined;
}

import { randomInt, randomUUID } from 'node:crypto';
import { StoreError } from './errors.ts';

declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

/** The key of one run of bytes kept whole on nodes. Serves one upload attempt only, never reused. */
export type BlobId = Branded<'BlobId'>;
/** The key of one content. An upload's first blob has the same id. */
export type FileId = Branded<'FileId'>;
/** The key of a storage node, made at its first start and kept on its disk. */
export type NodeId = Branded<'NodeId'>;
/** The key of one row of the tree: a file's name or a directory. */
export type EntryId = Branded<'EntryId'>;
/** The key of a cluster, made with its database. */
export type ClusterId = Branded<'ClusterId'>;

let lastMs = 0;
let counter = 0;

/**
 * A UUIDv7 (RFC 9562 section 5.7): ids of one process sort in the order in which they were made, also those of one millisecond (section 6.2,
 * method 1) and when the clock is set back. Made here because a library for it takes longer to load than the rest of what the command needs.
 */
function makeId(): string {
  const nowMs = Date.now();
  counter += 1;
  if (nowMs > lastMs || counter > 0xfff) {
    lastMs = Math.max(nowMs, lastMs + 1);
    counter = randomInt(0x800);
  }
  const time = lastMs.toString(16).padStart(12, '0');
  // A random UUID's last two groups are what version 7 has there, too: the variant and 62 random bits.
  const rest = randomUUID().slice(19);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${counter.toString(16).padStart(3, '0')}-${rest}`;
}

/** A new blob id: ids sort by the time they were made. */
export const newBlobId = () => makeId() as BlobId;
export const newNodeId = () => makeId() as NodeId;
export const newEntryId = () => makeId() as EntryId;
export const newClusterId = () => makeId() as ClusterId;

/** The file id of an upload whose first blob is `blobId`: the same text. */
export const fileIdOfFirstBlob = (blobId: BlobId) => blobId as string as FileId;
/** A file id that belongs to no upload: the id of a copy of a file. */
export const newFileId = () => makeId() as FileId;

const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;

const parser =
  <Id extends string>(what: string) =>
  (text: string): Id => {
    // Texts come out of JSON, too, where they may be anything.
    if (typeof text === 'string' && uuid7.test(text)) return text.toLowerCase() as Id;
    throw new StoreError(
      'invalid-request',
      `${JSON.stringify(String(text).slice(0, 80))} is no ${what}.`,
      { hint: `A ${what} is a UUID of version 7, such as 0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b11.` },
    );
  };

/** Each parser takes the text of an id in any letter case; rejects with `invalid-request`. */
export const parseBlobId = parser<BlobId>('blob id');
export const parseFileId = parser<FileId>('file id');
export const parseNodeId = parser<NodeId>('node id');
export const parseEntryId = parser<EntryId>('entry id');
export const parseClusterId = parser<ClusterId>('cluster id');

/** The two hex digits that name a blob's folder on a node's disk: the last ones, which are random. */
export const shardOf = (blobId: BlobId) => blobId.slice(-2);

/** The key by which inventories are ordered and paged: first the folder, then the id. */
export const inventoryKeyOf = (blobId: BlobId) => `${shardOf(blobId)}${blobId}`;

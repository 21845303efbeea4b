import { v7, validate, version } from 'uuid';
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

const makeId = () => v7();

/** A new blob id: a UUIDv7 (RFC 9562 section 5.7), so ids sort by the time they were made. */
export const newBlobId = () => makeId() as BlobId;
export const newNodeId = () => makeId() as NodeId;
export const newEntryId = () => makeId() as EntryId;
export const newClusterId = () => makeId() as ClusterId;

/** The file id of an upload whose first blob is `blobId`: the same text. */
export const fileIdOfFirstBlob = (blobId: BlobId) => blobId as string as FileId;
/** A file id that belongs to no upload: the id of a copy of a file. */
export const newFileId = () => makeId() as FileId;

const parser =
  <Id extends string>(what: string) =>
  (text: string): Id => {
    if (validate(text) && version(text) === 7) return text.toLowerCase() as Id;
    throw new StoreError('invalid-request', `${JSON.stringify(text.slice(0, 80))} is no ${what}.`, {
      hint: `A ${what} is a UUID of version 7, such as 0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b11.`,
    });
  };

/** Each parser takes the text of an id in any letter case; rejects with `invalid-request`. */
export const parseBlobId = parser<BlobId>('blob id');
export const parseFileId = parser<FileId>('file id');
export const parseNodeId = parser<NodeId>('node id');
export const parseClusterId = parser<ClusterId>('cluster id');

/** The two hex digits that name a blob's folder on a node's disk: the last ones, which are random. */
export const shardOf = (blobId: BlobId) => blobId.slice(-2);

/** The key by which inventories are ordered and paged: first the folder, then the id. */
export const inventoryKeyOf = (blobId: BlobId) => `${shardOf(blobId)}${blobId}`;

import { readdir } from 'node:fs/promises';
import {
  type BlobId,
  type InventoryPage,
  inventoryKeyOf,
  parseBlobId,
  type StoredBlob,
  StoreError,
  shardOf,
} from '@dfs/shared';
import { type DataDirectory, shards } from './data-directory.ts';
import { openBlob } from './open-blobs.ts';

/** Descriptions read from the disk at a time. */
const readsAtOnce = 16;

/**
 * The blobs behind `after` in inventory order, `limit` of them at most, each with what its file
 * says of it; those whose self-description is unreadable as `damaged`. One folder's names are in
 * memory at a time.
 */
export async function readInventory(
  directory: DataDirectory,
  after: string | undefined,
  limit: number,
): Promise<InventoryPage> {
  const blobs: StoredBlob[] = [];
  const damaged: BlobId[] = [];
  const first = after?.slice(0, 2) ?? '';
  for (const shard of shards.filter((each) => each >= first)) {
    const ids = await idsInShard(directory, shard, after);
    for (let at = 0; at < ids.length; at += readsAtOnce) {
      const room = limit - blobs.length - damaged.length;
      const some = ids.slice(at, at + Math.min(readsAtOnce, room));
      for (const found of await Promise.all(some.map((id) => describe(directory, id)))) {
        if (found.blob) blobs.push(found.blob);
        if (found.isDamaged) damaged.push(found.id);
      }
      const last = some.at(-1);
      const isFull = blobs.length + damaged.length >= limit;
      if (isFull && last) return { blobs, damaged, next: inventoryKeyOf(last) };
    }
  }
  return { blobs, damaged };
}

/**
 * The folder's blobs behind `after`, in order. Files that are no blobs of this folder are passed
 * over.
 */
export async function idsInShard(
  directory: DataDirectory,
  shard: string,
  after: string | undefined,
): Promise<BlobId[]> {
  const names = await readdir(directory.shardPath(shard));
  const ids = names.flatMap((name) => idOf(name) ?? []);
  return ids
    .filter((id) => shardOf(id) === shard && (after === undefined || inventoryKeyOf(id) > after))
    .sort();
}

function idOf(name: string): BlobId | undefined {
  try {
    const id = parseBlobId(name);
    return id === name ? id : undefined;
  } catch {
    return undefined;
  }
}

async function describe(
  directory: DataDirectory,
  id: BlobId,
): Promise<{ id: BlobId; blob?: StoredBlob; isDamaged?: boolean }> {
  try {
    const blob = await openBlob(directory.blobPath(id), id);
    if (!blob) return { id };
    blob.release();
    return { id, blob: blob.description };
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'corrupt') return { id, isDamaged: true };
    throw error;
  }
}

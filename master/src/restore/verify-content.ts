import { createHash, type Hash } from 'node:crypto';
import type { NodeId } from '@dfs/shared';
import type { NodeStore } from '../cluster/node-directory.ts';
import type { FileBlob } from '../metadata/metadata-repository.ts';
import type { FoundFile } from '../metadata/restore/restore-types.ts';

type StoreOf = (nodeId: NodeId) => Pick<NodeStore, 'open'> | undefined;

/** Reads a content whole, each blob from the first node that gives all of it, and compares every MD5. False when a blob has no such copy. */
export async function verifies(
  { file, holders }: Pick<FoundFile, 'file' | 'holders'>,
  storeOf: StoreOf,
): Promise<boolean> {
  let whole = createHash('md5');
  for (const [place, blob] of file.blobs.entries()) {
    const hashed = await hashBlob(blob, holders[place] ?? [], whole, storeOf);
    if (!hashed) return false;
    whole = hashed;
  }
  return whole.digest('hex') === file.md5;
}

/** The hash of what came before with this blob's bytes added; undefined when no node gives them. */
async function hashBlob(
  blob: FileBlob,
  holders: readonly NodeId[],
  before: Hash,
  storeOf: StoreOf,
): Promise<Hash | undefined> {
  for (const nodeId of holders) {
    const store = storeOf(nodeId);
    if (!store) continue;
    // Copies, so that an attempt that breaks off leaves nothing behind.
    const whole = before.copy();
    const own = createHash('md5');
    try {
      const { bytes } = await store.open(blob.blobId);
      for await (const chunk of bytes as AsyncIterable<Buffer>) {
        whole.update(chunk);
        own.update(chunk);
      }
    } catch {
      // Another copy may be good; that this one is not is found and told when it is scrubbed.
      continue;
    }
    if (own.digest('hex') === blob.md5) return whole;
  }
  return undefined;
}

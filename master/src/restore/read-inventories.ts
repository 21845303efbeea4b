import { setTimeout as delay } from 'node:timers/promises';
import type { BlobPeer, ClusterId, InventoryPage } from '@dfs/shared';
import type { CopiesAdded, MetadataRestore } from '../metadata/restore/restore-types.ts';
import type { RestoreSource } from './restore-source.ts';

export interface ReadInventory extends CopiesAdded {
  readonly blobs: number;
  /** Blobs that cannot say what they are. */
  readonly damaged: number;
  /** Why it was not read to its end. */
  readonly problem?: string;
}

const pageBlobs = 1_000;
const attemptsMax = 4;
const retryAfterMs = 500;

/** Takes over what a node holds, page by page. A node that fails for good is left where it stands: what it holds beyond is found when it is compared later. */
export async function readInventory(options: {
  readonly source: RestoreSource;
  readonly clusterId: ClusterId;
  readonly restore: Pick<MetadataRestore, 'addCopies'>;
  readonly tell: (blobs: number) => void;
}): Promise<ReadInventory> {
  const { source, clusterId, restore, tell } = options;
  const sum = { blobs: 0, damaged: 0, known: 0, unknown: 0, different: 0 };
  for (let after: string | undefined; ; ) {
    let page: InventoryPage;
    try {
      page = await readPage(source.store, after);
    } catch (error) {
      return { ...sum, problem: (error as Error).message };
    }
    // Blobs of another cluster are none of ours, wherever they lie.
    const blobs = page.blobs.filter((blob) => blob.clusterId === clusterId);
    const added = await restore.addCopies(source.id, blobs);
    sum.blobs += page.blobs.length;
    sum.damaged += page.damaged.length;
    sum.known += added.known;
    sum.unknown += added.unknown;
    sum.different += added.different;
    tell(page.blobs.length);
    if (page.next === undefined) return sum;
    after = page.next;
  }
}

async function readPage(
  store: Pick<BlobPeer, 'inventory'>,
  after: string | undefined,
): Promise<InventoryPage> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await store.inventory(after, pageBlobs);
    } catch (error) {
      if (attempt >= attemptsMax) throw error;
      await delay(retryAfterMs * attempt);
    }
  }
}

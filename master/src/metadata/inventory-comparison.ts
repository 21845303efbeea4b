import { type BlobId, inventoryKeyOf } from '@dfs/shared';
import { decideInventory } from './decisions/inventory.ts';
import type { GroupCommit } from './group-commit.ts';
import type {
  ClusterIdentity,
  InventoryComparison,
  InventoryFindings,
} from './metadata-repository.ts';

const rowsMax = 1_000;

/**
 * Compares a page of a node's inventory with the rows, in as many transactions as keep each to 1 000 rows: a node that lost its disk lists
 * nothing, and one page then covers all its rows. Each range of keys is judged by itself, so nothing is lost when one fails.
 */
export async function compareInventory(
  writes: GroupCommit,
  identity: ClusterIdentity,
  comparison: InventoryComparison,
): Promise<InventoryFindings> {
  const sum = { found: 0, missing: 0, damaged: 0, aborted: 0, quarantined: 0 };
  for (let afterKey: string | undefined = comparison.afterKey ?? ''; afterKey !== undefined; ) {
    const step = await compareRange(writes, identity, { ...comparison, afterKey });
    for (const [name, count] of Object.entries(step.findings)) {
      sum[name as keyof InventoryFindings] += count;
    }
    afterKey = step.throughKey;
  }
  return sum;
}

/** `throughKey`: where the range ended, when the page goes on. */
async function compareRange(
  writes: GroupCommit,
  identity: ClusterIdentity,
  comparison: InventoryComparison & { readonly afterKey: string },
): Promise<{ findings: InventoryFindings; throughKey: string | undefined }> {
  const { afterKey } = comparison;
  let throughKey: string | undefined;
  let expected: BlobId[] = [];
  const isInRange = (blobId: BlobId) => {
    const key = inventoryKeyOf(blobId);
    return key > afterKey && (throughKey === undefined || key <= throughKey);
  };
  return writes.submit({
    rows: rowsMax,
    prepare: async (sql) => {
      const upTo = comparison.throughKey === undefined ? [] : [comparison.throughKey];
      const rows = await sql.rows<{ blob_id: BlobId; inventory_key: string }>(
        `select blob_id, inventory_key from replicas where node_id = ? and inventory_key > ?
         ${upTo.length > 0 ? 'and inventory_key <= ?' : ''} order by inventory_key limit ?`,
        [comparison.nodeId, afterKey, ...upTo, rowsMax + 1],
      );
      throughKey = endOfRange(
        comparison,
        rows.map((row) => row.inventory_key),
      );
      expected = rows.map((row) => row.blob_id).filter(isInRange);
    },
    decide: (draft) => ({
      throughKey,
      findings: decideInventory(draft, {
        comparison,
        identity,
        expected,
        listed: comparison.blobs.filter((blob) => isInRange(blob.blobId)),
        damaged: comparison.damaged.filter(isInRange),
      }),
    }),
  });
}

/** The key of the last row or listed blob that still fits into one transaction; undefined when all do. */
function endOfRange(
  { afterKey = '', blobs, damaged }: InventoryComparison,
  rowKeys: readonly string[],
): string | undefined {
  const listedKeys = [...blobs.map((blob) => blob.blobId), ...damaged]
    .map(inventoryKeyOf)
    .filter((key) => key > afterKey)
    .sort();
  const ends = [rowKeys, listedKeys].flatMap((keys) =>
    keys.length > rowsMax ? [keys[rowsMax - 1] as string] : [],
  );
  return ends.sort()[0];
}

import { inventoryKeyOf, type NodeId, type StoredBlob } from '@dfs/shared';
import type { BulkSql } from '../database.ts';
import { plainText, wholeNumber } from '../rows.ts';
import { places } from '../sql-text.ts';
import { insertRows } from './bulk-rows.ts';
import type { CopiesAdded } from './restore-types.ts';

const foundColumns = [
  'file_id',
  'sequence',
  'blob_id',
  'node_id',
  'size_bytes',
  'md5',
  'stored_at',
  'created_at',
  'path',
  'content_type',
  'whole',
] as const;

/**
 * A page of what a node holds: rows of copies for the blobs that are known, with the time when each was stored, and the others set aside with what they say of
 * themselves. A row that waits for this copy is satisfied, and one by which it was to be dropped counts again: the copies that made it surplus may be gone, and surplus is
 * found again. What else is known of it stays.
 */
export async function addCopies(
  sql: BulkSql,
  nodeId: NodeId,
  blobs: readonly StoredBlob[],
): Promise<CopiesAdded> {
  if (blobs.length === 0) return { known: 0, unknown: 0, different: 0 };
  const ids = blobs.map((blob) => blob.blobId);
  const rows = await sql.rows<{ id: string; size_bytes: number; md5: string; released: number }>(
    `select id, size_bytes, md5, released from blobs where id in (${places(ids)})`,
    ids,
  );
  const byId = new Map(rows.map((row) => [row.id, row]));
  const known: StoredBlob[] = [];
  const unknown: StoredBlob[] = [];
  let different = 0;
  for (const blob of blobs) {
    const row = byId.get(blob.blobId);
    if (!row) unknown.push(blob);
    else if (row.md5 === blob.md5 && row.size_bytes === blob.sizeBytes) known.push(blob);
    else different += 1;
  }
  // What was given up is dropped by the rows that it has.
  const wanted = known.filter((blob) => byId.get(blob.blobId)?.released === 0);
  await insertCopies(sql, nodeId, wanted);
  await setAside(sql, nodeId, unknown);
  return { known: known.length, unknown: unknown.length, different };
}

function insertCopies(sql: BulkSql, nodeId: NodeId, blobs: readonly StoredBlob[]): Promise<void> {
  const onConflict = `on conflict (blob_id, node_id) do update
    set state = 'stored', next_attempt_at = null, last_error = null, living_copies = 0
    where replicas.state in ('wanted', 'dropping')`;
  return insertRows(
    sql,
    { table: 'replicas', columns: storedColumns, onConflict },
    blobs.map(({ blobId, storedAtMs }) => [
      blobId,
      nodeId,
      inventoryKeyOf(blobId),
      'replica',
      'stored',
      0,
      wholeNumber(storedAtMs),
      0,
    ]),
  );
}

/** Of a stored copy; nothing is due for it and nothing went wrong. */
const storedColumns = [
  'blob_id',
  'node_id',
  'inventory_key',
  'role',
  'state',
  'attempts',
  'changed_at',
  'living_copies',
];

function setAside(sql: BulkSql, nodeId: NodeId, blobs: readonly StoredBlob[]): Promise<void> {
  return insertRows(
    sql,
    { table: 'found_blobs', columns: foundColumns, onConflict: 'on conflict do nothing' },
    blobs.map((blob) => [
      blob.fileId,
      blob.sequence,
      blob.blobId,
      nodeId,
      blob.sizeBytes,
      blob.md5,
      wholeNumber(blob.storedAtMs),
      wholeNumber(blob.createdAtMs ?? 0),
      plainText(blob.path, 4_096),
      plainText(blob.contentType),
      blob.whole === undefined ? null : JSON.stringify(blob.whole),
    ]),
  );
}

import type { BlobId, EntryId, FileId } from '@dfs/shared';
import type { Sql } from './database.ts';
import { sweepLater, withCopiesWanted } from './decisions/copies-wanted.ts';
import type { Draft } from './draft/draft.ts';
import type { GroupCommit } from './group-commit.ts';
import type { Entry } from './metadata-repository.ts';
import { nowhereId, rootId, trashId } from './root-entries.ts';
import { type EntryRow, entryColumns, entryOf } from './rows.ts';
import { chunksOf, places } from './sql-text.ts';
import type { SweptCopies } from './working-tree.ts';

const rowsMax = 1_000;
const columns = entryColumns.join(', ');

/** What one transaction looks at again. */
interface Page {
  readonly entryId: EntryId;
  readonly requestedAtMs: number;
  readonly entries: readonly Entry[];
  /** Where the next page goes on; absent: this is the last one. */
  readonly next?: string;
  readonly wanted: ReadonlyMap<BlobId, number>;
}

/**
 * Takes the next page of what is to be looked at again. It is committed alone: which name wants the most copies of a content is found by a query, which does not know what other
 * operations of a batch decided.
 */
export function sweepCopies(
  writes: GroupCommit,
  configuredCopies: number,
  limit: number,
): Promise<SweptCopies> {
  let page: Page | undefined;
  return writes.submit({
    rows: limit,
    isAlone: true,
    prepare: async (sql) => {
      page = await readPage(sql, configuredCopies, Math.max(1, Math.min(rowsMax, limit)));
    },
    decide: (draft) => {
      if (page) return decideSweep(draft, page);
      // Alone in its batch: nothing was asked for meanwhile.
      writes.mayHaveSweeps = false;
      return { looked: 0, raised: 0, lowered: 0 };
    },
  });
}

/** Everything that says no number itself is looked at again when another one is configured than when the database was last opened. */
export async function heedConfiguredCopies(sql: Sql, copies: number, nowMs: number): Promise<void> {
  const [row] = await sql.rows<{ configured_copies: number | null }>(
    'select configured_copies from cluster',
  );
  const before = row?.configured_copies ?? null;
  if (before === copies) return;
  // First, so that a crash between the two only repeats it. Before this was kept, uploads that asked for more copies left no number on their files.
  if (before !== null) {
    await sql.rows(
      `insert into copies_sweeps (directory_id, after_name, requested_at) values (?, '', ?)
       on conflict (directory_id) do update set after_name = ''`,
      [rootId, nowMs],
    );
  }
  await sql.rows('update cluster set configured_copies = ?', [copies]);
}

function decideSweep(draft: Draft, page: Page): SweptCopies {
  const { entryId, requestedAtMs, entries, next, wanted } = page;
  let [raised, lowered] = [0, 0];
  draft.sweeps.need(entryId);
  draft.each([...wanted], ([blobId, copies]) => {
    const blob = draft.blobs.get(blobId);
    if (!blob || blob.released || blob.copiesWanted === copies) return;
    if (copies > blob.copiesWanted) raised += 1;
    else lowered += 1;
    draft.blobs.set(blobId, withCopiesWanted(draft, blob, copies));
  });
  draft.sweeps.get(entryId);
  draft.sweeps.set(entryId, next === undefined ? null : { afterName: next, requestedAtMs });
  for (const entry of entries) {
    // What says a number itself does not follow the directories above it.
    if (entry.kind === 'directory' && entry.copies === undefined) {
      sweepLater(draft, entry, requestedAtMs);
    }
  }
  return { looked: Math.max(1, entries.length), raised, lowered };
}

async function readPage(
  sql: Sql,
  configuredCopies: number,
  limit: number,
): Promise<Page | undefined> {
  const [sweep] = await sql.rows<{ id: EntryId; after_name: string; requested_at: number }>(
    `select directory_id as id, after_name, requested_at from copies_sweeps
     order by requested_at, directory_id limit 1`,
  );
  if (!sweep) return undefined;
  const common = { entryId: sweep.id, requestedAtMs: sweep.requested_at };
  const rows = await readEntries(sql, sweep.id, sweep.after_name, limit);
  const blobs = await blobsOf(sql, rows);
  const entries = within(rows.map(entryOf), blobs, limit);
  const last = entries.at(-1);
  const isLast = last?.id === sweep.id || (rows.length < limit && entries.length === rows.length);
  const blobIds = entries.flatMap(({ fileId }) => (fileId && blobs.get(fileId)) || []);
  return {
    ...common,
    entries,
    ...(isLast || !last ? {} : { next: last.name }),
    wanted: await copiesWantedOf(sql, [...new Set(blobIds)], configuredCopies),
  };
}

/** A file itself, or a page of a directory. */
async function readEntries(
  sql: Sql,
  id: EntryId,
  after: string,
  limit: number,
): Promise<readonly EntryRow[]> {
  const [own] = await sql.rows<EntryRow>(`select ${columns} from entries where id = ?`, [id]);
  if (own?.kind !== 'directory') return own ? [own] : [];
  return sql.rows<EntryRow>(
    `select ${columns} from entries where parent_id = ? and name > ? order by name limit ?`,
    [id, after, limit],
  );
}

async function blobsOf(
  sql: Sql,
  entries: readonly EntryRow[],
): Promise<ReadonlyMap<FileId, readonly BlobId[]>> {
  const blobs = new Map<FileId, BlobId[]>();
  const ids = [...new Set(entries.flatMap(({ file_id }) => file_id ?? []))];
  if (ids.length === 0) return blobs;
  const rows = await sql.rows<{ file_id: FileId; blob_id: BlobId }>(
    `select file_id, blob_id from file_blobs where file_id in (${places(ids)})`,
    ids,
  );
  for (const { file_id, blob_id } of rows) {
    const known = blobs.get(file_id);
    if (known) known.push(blob_id);
    else blobs.set(file_id, [blob_id]);
  }
  return blobs;
}

/** As many of the entries as have no more blobs than the limit, and one at least. */
function within(
  entries: readonly Entry[],
  blobs: ReadonlyMap<FileId, readonly BlobId[]>,
  limit: number,
): readonly Entry[] {
  let count = 0;
  const end = entries.findIndex(({ fileId }, index) => {
    count += (fileId && blobs.get(fileId)?.length) || 0;
    return count > limit && index > 0;
  });
  return end < 0 ? entries : entries.slice(0, end);
}

/**
 * The most copies that a name of these blobs wants. The directories above all names are climbed together, each of them once. Names in the trash want nothing; a blob that has no other
 * names is absent: its copies stay as they are.
 */
async function copiesWantedOf(
  sql: Sql,
  blobIds: readonly BlobId[],
  configuredCopies: number,
): Promise<ReadonlyMap<BlobId, number>> {
  const wanted = new Map<BlobId, number>();
  for (const ids of chunksOf(blobIds, 1)) {
    const rows = await sql.rows<{ blob_id: BlobId; copies: number }>(
      `with recursive names as (
         select distinct fb.blob_id, e.parent_id, e.copies from file_blobs fb
         join entries e on e.file_id = fb.file_id where fb.blob_id in (${places(ids)})
       ), climb (directory_id, at_id, copies) as (
         select distinct parent_id, parent_id, cast(null as integer) from names
         union select c.directory_id, p.parent_id, coalesce(c.copies, p.copies)
         from climb c join entries p on p.id = c.at_id where c.at_id <> '${trashId}'
       )
       select n.blob_id, max(coalesce(n.copies, c.copies, ${configuredCopies})) as copies from names n
       join climb c on c.directory_id = n.parent_id where c.at_id = '${nowhereId}' group by n.blob_id`,
      ids,
    );
    for (const { blob_id, copies } of rows) wanted.set(blob_id, copies);
  }
  return wanted;
}

import type { BlobId, EntryId, FileId } from '@dfs/shared';
import type { Sql, Value } from '../database.ts';
import {
  type AccessKeyRow,
  accessKeyColumns,
  accessKeyOf,
  type GrantRow,
  grantColumns,
  grantOf,
  type RevocationRow,
  revocationColumns,
  revocationOf,
} from '../rights-rows.ts';
import { entryKeyOf, partsOfEntryKey } from '../root-entries.ts';
import {
  type BlobAndCopyRow,
  blobStatesOf,
  blobsAndCopies,
  type EntryRow,
  entryColumns,
  entryOf,
  type FileAndBlobRow,
  fileAndBlobColumns,
  fileAndBlobTables,
  filesOf,
  type TrashRow,
  trashColumns,
  trashRecordOf,
} from '../rows.ts';
import { chunksOf, places } from '../sql-text.ts';
import type { Draft } from './draft.ts';
import { type KnownSize, noSize, sizeColumns } from './draft-sizes.ts';
import type { DraftTable } from './draft-table.ts';

/** Directories are counted up to here: more than one batch can remove. */
const childrenCountedMax = 2_001;

/**
 * Reads every row that decisions asked for and did not find in the draft, each kind with one query (a few when there are very many). The queries
 * run side by side where the database can.
 */
export async function loadMissing(sql: Sql, draft: Draft): Promise<void> {
  await Promise.all([
    loadEntries(sql, draft),
    loadRows(draft.keys, async (keys) => {
      const rows = await sql.rows<KeyRow>(
        `select key, path, outcome, created_at from idempotency_keys where key in (${places(keys)})`,
        keys,
      );
      return rows.map((row) => [row.key, { ...row, createdAtMs: row.created_at }]);
    }),
    loadRows(draft.blobs, async (ids) => {
      const rows = await sql.rows<BlobAndCopyRow>(
        `${blobsAndCopies} where b.id in (${places(ids)})`,
        ids,
      );
      return [...blobStatesOf(rows)];
    }),
    loadRows(draft.files, async (ids) => {
      const rows = await sql.rows<FileAndBlobRow>(
        `select ${fileAndBlobColumns} from ${fileAndBlobTables} where f.id in (${places(ids)})
         order by f.id, fb.sequence`,
        ids,
      );
      return filesOf(rows).map((file) => [file.id, file]);
    }),
    loadRows(draft.uploads, async (ids) => {
      const rows = await sql.rows<{ blob_id: BlobId; expires_at: number }>(
        `select blob_id, expires_at from uploads where blob_id in (${places(ids)})`,
        ids,
      );
      return rows.map((row) => [row.blob_id, row.expires_at]);
    }),
    loadRows(draft.trash, async (ids) => {
      const rows = await sql.rows<TrashRow>(
        `select ${trashColumns.join(', ')} from trash where entry_id in (${places(ids)})`,
        ids,
      );
      return rows.map((row) => [row.entry_id, trashRecordOf(row)]);
    }),
    loadRows(draft.accessKeys, async (ids) => {
      const rows = await sql.rows<AccessKeyRow>(
        `select ${accessKeyColumns.join(', ')} from access_keys where id in (${places(ids)})`,
        ids,
      );
      return rows.map((row) => [row.id, accessKeyOf(row)]);
    }),
    loadRows(draft.grants, async (ids) => {
      const rows = await sql.rows<GrantRow>(
        `select ${grantColumns.join(', ')} from address_grants where id in (${places(ids)})`,
        ids,
      );
      return rows.map((row) => [row.id, grantOf(row)]);
    }),
    loadRows(draft.revocations, async (subjects) => {
      const rows = await sql.rows<RevocationRow>(
        `select ${revocationColumns.join(', ')} from link_revocations where subject in (${places(subjects)})`,
        subjects,
      );
      return rows.map((row) => [row.subject, revocationOf(row)]);
    }),
    loadRows(draft.sweeps, async (ids) => {
      const rows = await sql.rows<SweepRow>(
        `select directory_id, after_name, requested_at from copies_sweeps where directory_id in (${places(ids)})`,
        ids,
      );
      return rows.map((row) => [
        row.directory_id,
        { afterName: row.after_name, requestedAtMs: row.requested_at },
      ]);
    }),
    loadRows(draft.entries.directoryKeys, async (ids) => {
      const rows = await sql.rows<Pick<EntryRow, 'id' | 'parent_id' | 'name'>>(
        `select id, parent_id, name from entries where kind = 'directory' and id in (${places(ids)})`,
        ids,
      );
      return rows.map((row) => [row.id, entryKeyOf(row.parent_id, row.name)]);
    }),
    loadSizes(sql, draft),
    loadCounts<FileId>(sql, draft.names, 'entries', 'file_id'),
    loadCounts<BlobId>(sql, draft.uses, 'file_blobs', 'blob_id'),
    loadChildren(sql, draft),
  ]);
}

interface SweepRow {
  readonly directory_id: EntryId;
  readonly after_name: string;
  readonly requested_at: number;
}

interface KeyRow {
  readonly key: string;
  readonly path: string;
  readonly outcome: string;
  readonly created_at: number;
}

async function loadRows<Key extends string, Row>(
  table: DraftTable<Key, Row>,
  query: (keys: readonly Key[]) => Promise<(readonly [Key, Row])[]>,
  valuesEach = 1,
): Promise<void> {
  for (const keys of chunksOf([...table.missing], valuesEach)) {
    const rows = new Map(await query(keys));
    for (const key of keys) table.learn(key, rows.get(key) ?? null);
  }
}

/** Pairs are compared with a list of values, so that both databases look each one up in the index of (parent, name). */
async function loadEntries(sql: Sql, { entries }: Draft): Promise<void> {
  const query = async (keys: readonly string[]) => {
    const pairs = keys.map(() => '(?, ?)').join(', ');
    const rows = await sql.rows<EntryRow>(
      `select ${entryColumns.join(', ')}
       from entries where (parent_id, name) in (values ${pairs})`,
      keys.flatMap(partsOfEntryKey) as Value[],
    );
    return rows.map((row) => [`${row.parent_id}/${row.name}`, entryOf(row)] as const);
  };
  await loadRows(entries, query, 2);
}

interface Counts<Key extends string> {
  readonly missing: ReadonlySet<Key>;
  learn(key: Key, count: number): void;
}

async function loadCounts<Key extends string>(
  sql: Sql,
  counts: Counts<Key>,
  table: string,
  column: string,
): Promise<void> {
  for (const keys of chunksOf([...counts.missing], 1)) {
    const rows = await sql.rows<{ id: Key; how_many: number }>(
      `select ${column} as id, count(*) as how_many from ${table} where ${column} in (${places(keys)}) group by ${column}`,
      keys,
    );
    const found = new Map(rows.map((row) => [row.id, row.how_many]));
    for (const key of keys) counts.learn(key, found.get(key) ?? 0);
  }
}

interface SizeRow {
  readonly directory_id: EntryId;
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
  readonly pending_files: number;
  readonly pending_directories: number;
  readonly pending_bytes: number;
}

async function loadSizes(sql: Sql, { sizes }: Draft): Promise<void> {
  for (const ids of chunksOf([...sizes.missing], 1)) {
    const rows = await sql.rows<SizeRow>(
      `select ${sizeColumns.join(', ')} from directory_sizes where directory_id in (${places(ids)})`,
      ids,
    );
    const found = new Map(rows.map((row) => [row.directory_id, row]));
    for (const id of ids) sizes.learn(id, sizeOfRow(found.get(id)));
  }
}

const sizeOfRow = (row: SizeRow | undefined): KnownSize =>
  row === undefined
    ? { counted: noSize, pending: noSize }
    : {
        counted: { files: row.files, directories: row.directories, bytes: row.bytes },
        pending: {
          files: row.pending_files,
          directories: row.pending_directories,
          bytes: row.pending_bytes,
        },
      };

/** Each of them up to the limit alone, in one query. */
async function loadChildren(sql: Sql, { children }: Draft): Promise<void> {
  for (const ids of chunksOf([...children.missing], 1)) {
    const directories = ids.map(() => '(?)').join(', ');
    const rows = await sql.rows<{ id: EntryId; how_many: number }>(
      `with directories (id) as (values ${directories})
       select id, (select count(*) from
         (select 1 from entries e where e.parent_id = directories.id limit ${childrenCountedMax}) some_children) as how_many
       from directories`,
      ids,
    );
    for (const { id, how_many } of rows) children.learn(id, how_many);
  }
}

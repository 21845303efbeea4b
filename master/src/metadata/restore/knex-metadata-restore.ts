import type { BlobId, Clock, FileId, NodeId, RowImage, StoredBlob } from '@dfs/shared';
import type { Database, Sql } from '../database.ts';
import type { GroupCommit } from '../group-commit.ts';
import type { ClusterIdentity } from '../metadata-repository.ts';
import { pathsOfBlobs } from '../reads/blob-paths.ts';
import { nowhereId, rootId, trashId } from '../root-entries.ts';
import { journaledTables } from '../snapshot/journaled-tables.ts';
import { addCopies } from './add-copies.ts';
import { applyImages } from './apply-images.ts';
import {
  clearTable,
  deriveBlobs,
  deriveSizes,
  deriveTotals,
  forgetUnreferenced,
  requestSweeps,
} from './derive.ts';
import { FoundTables } from './found-tables.ts';
import { mend } from './mend.ts';
import type {
  CopiesAdded,
  FoundBlob,
  FoundFile,
  Mended,
  MetadataRestore,
  RestoreKind,
} from './restore-types.ts';

export interface KnexMetadataRestoreParts {
  readonly database: Database;
  readonly writes: GroupCommit;
  readonly clock: Clock;
  readonly unfinished: RestoreKind | undefined;
  /** The identity is this one from now on. */
  readonly adopted: (identity: ClusterIdentity) => void;
}

/** What a whole restore makes anew, with the column by which it is emptied: what the journal carries, and what is derived from it. Nodes and the log stay. */
const rebuiltTables: readonly (readonly [table: string, key: string])[] = [
  ...journaledTables.map(({ name, columns }) => [name, columns[0] as string] as const),
  ['replicas', 'blob_id'],
  ['directory_sizes', 'directory_id'],
  ['copies_sweeps', 'directory_id'],
  ['idempotency_keys', 'key'],
  ['uploads', 'blob_id'],
];

export class KnexMetadataRestore implements MetadataRestore {
  readonly #parts: KnexMetadataRestoreParts;
  readonly #found: FoundTables;
  #unfinished: RestoreKind | undefined;

  constructor(parts: KnexMetadataRestoreParts) {
    this.#parts = parts;
    this.#unfinished = parts.unfinished;
    this.#found = new FoundTables(parts.database);
  }

  get unfinished(): RestoreKind | undefined {
    return this.#unfinished;
  }

  async begin(kind: RestoreKind): Promise<void> {
    const { database, writes, clock } = this.#parts;
    await writes.suspend();
    try {
      await database.transaction((sql) =>
        sql.rows(
          `insert into restore_marker (id, kind, started_at) values (1, ?, ?)
           on conflict (id) do update set kind = excluded.kind, started_at = excluded.started_at`,
          [kind, clock.now()],
        ),
      );
    } catch (error) {
      if (this.#unfinished === undefined) writes.resume();
      throw error;
    }
    this.#unfinished = kind;
    await this.#found.clear();
    if (kind === 'replay') return;
    for (const [table, key] of rebuiltTables) await clearTable(database, table, key);
    await database.transaction((sql) => insertRoots(sql, clock.now()));
  }

  applyImages(images: readonly RowImage[]): Promise<void> {
    return this.#parts.database.transaction((sql) => applyImages(sql, images));
  }

  async adopt(identity: ClusterIdentity, lastNumber: number): Promise<void> {
    const { database, clock, adopted } = this.#parts;
    await clearTable(database, 'changes', 'number');
    await database.transaction(async (sql) => {
      await sql.rows('update cluster set id = ?, epoch = ?', [identity.clusterId, identity.epoch]);
      await sql.rows('insert into changes (number, at, images) values (?, ?, ?)', [
        lastNumber + 1,
        clock.now(),
        '[]',
      ]);
    });
    adopted(identity);
  }

  mend(): Promise<Mended> {
    const { database, clock } = this.#parts;
    return mend(database, clock.now(), async (sql, images) => {
      await sql.rows(
        `insert into changes (number, at, images)
         select max(number) + 1, cast(? as bigint), cast(? as text) from changes`,
        [clock.now(), JSON.stringify(images)],
      );
    });
  }

  forgetUnreferenced(): Promise<void> {
    return forgetUnreferenced(this.#parts.database);
  }

  addCopies(nodeId: NodeId, blobs: readonly StoredBlob[]): Promise<CopiesAdded> {
    return this.#parts.database.transaction((sql) => addCopies(sql, nodeId, blobs));
  }

  async derive({ isSure }: { readonly isSure: boolean }): Promise<void> {
    const { database, writes, clock } = this.#parts;
    await deriveBlobs(database, { nowMs: clock.now(), isSure });
    await deriveSizes(database);
    await database.transaction(async (sql) => {
      await requestSweeps(sql, clock.now());
      await deriveTotals(sql);
    });
    writes.resume();
    await writes.submit({ rows: 1, decide: () => undefined });
  }

  foundBlobs(page: { after?: FileId; limit: number }): Promise<readonly FoundBlob[]> {
    return this.#found.blobs(page);
  }

  keepFound(files: readonly FoundFile[]): Promise<void> {
    return this.#found.keep(files);
  }

  foundAtNextPath(after?: string) {
    return this.#found.atNextPath(after);
  }

  async filesWithoutCopy(
    limit: number,
  ): Promise<{ readonly count: number; readonly paths: readonly string[] }> {
    const { database } = this.#parts;
    const lost = `b.unreferenced_since is null
       and not exists (select 1 from replicas r where r.blob_id = b.id and r.state = 'stored')`;
    const [files] = await database.rows<{ count: number | string }>(
      `select count(distinct fb.file_id) as count from blobs b join file_blobs fb on fb.blob_id = b.id where ${lost}`,
    );
    const rows = await database.rows<{ id: BlobId }>(
      `select b.id from blobs b where ${lost} order by b.id limit ?`,
      [limit],
    );
    const ids = rows.map((row) => row.id);
    const paths = await pathsOfBlobs(
      database,
      ids,
      async (missing, read) => new Map(await read(missing)),
    );
    return { count: Number(files?.count ?? 0), paths: [...new Set(paths.values())].sort() };
  }

  async end(): Promise<void> {
    await this.#found.clear();
    await this.#parts.database.transaction((sql) => sql.rows('delete from restore_marker'));
    this.#unfinished = undefined;
  }
}

/** What kind of restore began on this database and did not end. */
export async function readUnfinished(database: Database): Promise<RestoreKind | undefined> {
  const [row] = await database.rows<{ kind: RestoreKind }>('select kind from restore_marker');
  return row?.kind;
}

async function insertRoots(sql: Sql, nowMs: number): Promise<void> {
  const roots = [
    [rootId, '', 'inherit'],
    [trashId, 'trash', 'private'],
  ] as const;
  for (const [id, name, visibility] of roots) {
    await sql.rows(
      `insert into entries (id, parent_id, name, kind, created_at, modified_at, visibility)
       values (?, ?, ?, 'directory', ?, ?, ?) on conflict do nothing`,
      [id, nowhereId, name, nowMs, nowMs, visibility],
    );
  }
}

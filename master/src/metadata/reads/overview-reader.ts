import { type FilePath, StoreError } from '@dfs/shared';
import type { Database, Value } from '../database.ts';
import { type LogTableRow, logEntryOf, pathKeyOf } from '../log-rows.ts';
import type { LogEntry, NodeRecord, StoreCounts } from '../metadata-repository.ts';
import { trashId } from '../root-entries.ts';
import { type Totals, totalNames } from '../row-changes.ts';
import { type NodeRow, nodeColumns, nodeOf } from '../rows.ts';

const logRowsMax = 10_000;

interface TrashUsage {
  readonly trash_files: number;
  readonly trash_directories: number;
  readonly trash_bytes: number;
}

/** Reads about the whole: nodes, the log, counts. */
export class OverviewReader {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async listNodes(): Promise<NodeRecord[]> {
    const rows = await this.#database.rows<NodeRow>(
      `select ${nodeColumns.join(', ')} from nodes order by id`,
    );
    return rows.map(nodeOf);
  }

  async listLog({
    path,
    limit = logRowsMax,
    afterId,
  }: {
    path?: FilePath;
    limit?: number;
    afterId?: number;
  }): Promise<LogEntry[]> {
    const values: Value[] = [];
    let where = 'id > ?';
    values.push(afterId ?? 0);
    if (path !== undefined) {
      where += ' and path_key = ? and path = ?';
      values.push(pathKeyOf(path), path);
    }
    values.push(Math.max(0, Math.min(logRowsMax, limit)));
    const rows = await this.#database.rows<LogTableRow>(
      `select id, blob_id, path, source, target, outcome, error_code, message, started_at, duration_ms
       from replication_log where ${where} order by id desc limit ?`,
      values,
    );
    return rows.reverse().map(logEntryOf);
  }

  /** Cheap at any size: each transaction keeps the totals right, and what the trash holds is taken off. */
  async counts(): Promise<StoreCounts> {
    const [totals] = await this.#database.rows<Totals & TrashUsage>(
      `select ${totalNames.map((name) => `t.${name}`).join(', ')},
       coalesce(s.files + s.pending_files, 0) as trash_files, coalesce(s.bytes + s.pending_bytes, 0) as trash_bytes,
       coalesce(s.directories + s.pending_directories, 0) as trash_directories
       from totals t left join directory_sizes s on s.directory_id = '${trashId}' where t.id = 1`,
    );
    if (!totals) throw new StoreError('internal', 'The metadata database has no totals.');
    const { files, directories, logical_bytes, wanted, stored, corrupt, dropping } = totals;
    const { trash_files, trash_directories, trash_bytes } = totals;
    return {
      files: Math.max(0, files - trash_files),
      directories: Math.max(0, directories - trash_directories),
      logicalBytes: Math.max(0, logical_bytes - trash_bytes),
      trash: { files: trash_files, bytes: trash_bytes },
      replicas: { wanted, stored, corrupt, dropping },
      blobsShort: totals.short,
      blobsWithoutCopy: totals.lost,
      missingBytes: totals.missing_bytes,
    };
  }

  /** Nothing was ever written to the tree, and no blob is known. */
  async isEmpty(): Promise<boolean> {
    const rows = await this.#database.rows<{ one: number }>(
      'select 1 as one where exists (select 1 from changes) or exists (select 1 from blobs)',
    );
    return rows.length === 0;
  }
}

import type { FilePath } from '@dfs/shared';
import type { Database, Value } from '../database.ts';
import { type LogTableRow, logEntryOf, pathKeyOf } from '../log-rows.ts';
import type { LogEntry, NodeRecord, ReplicaState, StoreCounts } from '../metadata-repository.ts';
import { type NodeRow, nodeColumns, nodeOf } from '../rows.ts';

const logRowsMax = 10_000;

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

  /** Exact, and cheap: totals are kept, and the rest is counted in indexes that hold nothing else. */
  async counts(): Promise<StoreCounts> {
    return this.#database.read(async (sql) => {
      const [totals] = await sql.rows<TotalsRow>(
        `select files, directories, logical_bytes, stored_copies,
         (select count(*) from blobs where short > 0) as short,
         (select count(*) from blobs where lost > 0) as lost
         from totals where id = 1`,
      );
      const states = await sql.rows<{ state: ReplicaState; how_many: number }>(
        "select state, count(*) as how_many from replicas where state <> 'stored' group by state",
      );
      const inState = new Map(states.map((row) => [row.state, row.how_many]));
      return {
        files: totals?.files ?? 0,
        directories: totals?.directories ?? 0,
        logicalBytes: totals?.logical_bytes ?? 0,
        replicas: {
          wanted: inState.get('wanted') ?? 0,
          stored: totals?.stored_copies ?? 0,
          corrupt: inState.get('corrupt') ?? 0,
          dropping: inState.get('dropping') ?? 0,
        },
        blobsShort: totals?.short ?? 0,
        blobsWithoutCopy: totals?.lost ?? 0,
      };
    });
  }

  /** Nothing was ever written to the tree, and no blob is known. */
  async isEmpty(): Promise<boolean> {
    const rows = await this.#database.rows<{ one: number }>(
      'select 1 as one where exists (select 1 from changes) or exists (select 1 from blobs)',
    );
    return rows.length === 0;
  }
}

interface TotalsRow {
  readonly files: number;
  readonly directories: number;
  readonly logical_bytes: number;
  readonly stored_copies: number;
  readonly short: number;
  readonly lost: number;
}

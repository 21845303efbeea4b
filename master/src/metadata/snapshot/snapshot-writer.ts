import type { SnapshotEnd, SnapshotHead, SnapshotRow } from '@dfs/shared';
import type { Database, Sql, Value } from '../database.ts';
import { storeErrorOf } from '../database-errors.ts';
import type { ClusterIdentity } from '../metadata-repository.ts';
import { places } from '../sql-text.ts';
import { type JournaledTable, journaledTables } from './journaled-tables.ts';

export interface SnapshotParts {
  readonly database: Database;
  readonly identity: ClusterIdentity;
  readonly nowMs: () => number;
}

const pageRows = 1_000;

/** The lines of a snapshot (`journal-format.ts`), page by page while commits go on: rows of different pages may be of different times. */
export async function* fuzzySnapshot(parts: SnapshotParts): AsyncGenerator<string> {
  yield* linesOf(parts, parts.database);
}

/** The same, all of one moment. While it is read, SQLite cannot shorten its log. */
export async function* consistentSnapshot(parts: SnapshotParts): AsyncGenerator<string> {
  const reading = new HeldRead(parts.database);
  try {
    yield* linesOf(parts, await reading.begin());
  } finally {
    await reading.end();
  }
}

async function* linesOf(parts: SnapshotParts, sql: Sql): AsyncGenerator<string> {
  const { clusterId, epoch } = parts.identity;
  const from = await lastNumber(sql);
  const head: SnapshotHead = {
    snapshot: { format: 1, clusterId, epoch, from, at: parts.nowMs() },
  };
  yield `${JSON.stringify(head)}\n`;
  let images = 0;
  for (const table of journaledTables) {
    for await (const page of pagesOf(sql, table)) {
      images += page.length;
      yield page.map((row) => `${JSON.stringify(lineOf(table, row))}\n`).join('');
    }
  }
  // Read last: no row that was read can be newer.
  const end: SnapshotEnd = {
    end: { from, to: await lastNumber(sql), images, at: parts.nowMs() },
  };
  yield `${JSON.stringify(end)}\n`;
}

type Row = Record<string, Value>;

async function* pagesOf(
  sql: Sql,
  { name, columns, keyColumns }: JournaledTable,
): AsyncGenerator<Row[]> {
  const keys = columns.slice(0, keyColumns);
  let after: Value[] | undefined;
  do {
    const where = after === undefined ? '' : `where (${keys.join(', ')}) > (${places(keys)})`;
    const rows = await sql.rows<Row>(
      `select ${columns.join(', ')} from ${name} ${where} order by ${keys.join(', ')} limit ?`,
      [...(after ?? []), pageRows],
    );
    if (rows.length > 0) yield rows;
    const last = rows.length < pageRows ? undefined : rows.at(-1);
    after = last && keys.map((key) => last[key] as Value);
  } while (after !== undefined);
}

const lineOf = (table: JournaledTable, row: Row): SnapshotRow => ({
  table: table.name,
  key: Object.fromEntries(
    table.columns.slice(0, table.keyColumns).map((column) => [column, row[column] as string]),
  ),
  row,
});

async function lastNumber(sql: Sql): Promise<number> {
  const [row] = await sql.rows<{ number: number | null }>(
    'select max(number) as number from changes',
  );
  return row?.number ?? 0;
}

/** A reading transaction held open between pages. */
class HeldRead {
  readonly #database: Database;
  #release: () => void = () => {};
  #ended: Promise<void> = Promise.resolve();

  constructor(database: Database) {
    this.#database = database;
  }

  begin(): Promise<Sql> {
    return new Promise((resolve, reject) => {
      this.#ended = this.#database.read((sql) => {
        resolve({
          rows: <Row>(text: string, values?: readonly Value[]) =>
            sql.rows<Row>(text, values).catch((error: unknown) => {
              throw storeErrorOf(error);
            }),
        });
        return new Promise<void>((release) => {
          this.#release = release;
        });
      });
      this.#ended.catch(reject);
    });
  }

  async end(): Promise<void> {
    this.#release();
    await this.#ended;
  }
}

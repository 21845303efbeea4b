import type { BulkSql, Value } from '../database.ts';
import { chunksOf } from '../sql-text.ts';

type Rows = readonly (readonly Value[])[];

/** Inserts many rows. `onConflict`: what follows, if anything. */
export async function insertRows(
  sql: BulkSql,
  into: {
    readonly table: string;
    readonly columns: readonly string[];
    readonly onConflict?: string;
  },
  rows: Rows,
): Promise<void> {
  const { table, columns, onConflict = '' } = into;
  for (const { text, values } of tablesOf(sql, rows)) {
    // "where true" tells the conflict clause from a join.
    const where = sql.isSqlite ? 'where true' : '';
    await sql.rows(
      `insert into ${table} (${columns.join(', ')}) ${text} ${where} ${onConflict}`,
      values,
    );
  }
}

/** Deletes the rows in which these columns have one of these groups of values. */
export async function deleteRows(
  sql: BulkSql,
  from: { readonly table: string; readonly columns: readonly string[] },
  keys: Rows,
): Promise<void> {
  for (const { text, values } of tablesOf(sql, keys)) {
    await sql.rows(
      `delete from ${from.table} where (${from.columns.join(', ')}) in (${text})`,
      values,
    );
  }
}

/** Rows as a query: out of one JSON value on SQLite, which reads that faster than values are bound; of bound values on PostgreSQL. */
function* tablesOf(sql: BulkSql, rows: Rows): Generator<{ text: string; values: Value[] }> {
  const [first] = rows;
  if (!first) return;
  if (sql.isSqlite) {
    const columns = first.map((_, index) => `json_extract(value, '$[${index}]')`);
    yield {
      text: `select ${columns.join(', ')} from json_each(?)`,
      values: [JSON.stringify(rows)],
    };
    return;
  }
  for (const some of chunksOf(rows, first.length)) {
    const text = some.map((row) => `(${row.map(placeOf).join(', ')})`).join(', ');
    yield { text: `values ${text}`, values: some.flat() };
  }
}

/** PostgreSQL takes a value in a list for text unless told otherwise. */
const placeOf = (value: Value) => (typeof value === 'number' ? 'cast(? as bigint)' : '?');

import type { Sql, Value } from './database.ts';

/** SQLite binds 32 766 values to a statement, PostgreSQL 65 535. */
const valuesMax = 30_000;

/** As many question marks as there are values. */
export const places = (values: readonly unknown[]) => Array(values.length).fill('?').join(', ');

/** The items in runs of which each, at `valuesEach` values an item, can be bound to one statement. */
export function* chunksOf<Item>(items: readonly Item[], valuesEach: number): Generator<Item[]> {
  const size = Math.floor(valuesMax / valuesEach);
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size);
}

/** Inserts rows with as few statements as can be. `tail`: what follows the values. */
export async function insertRows(
  sql: Sql,
  table: string,
  columns: readonly string[],
  rows: readonly (readonly Value[])[],
  tail = '',
): Promise<void> {
  if (sql.takesJson) return insertJson(sql, { table, columns, rows, tail });
  const row = `(${places(columns)})`;
  for (const some of chunksOf(rows, columns.length)) {
    await sql.execute(
      `insert into ${table} (${columns.join(', ')}) values ${some.map(() => row).join(', ')} ${tail}`,
      some.flat(),
    );
  }
}

/**
 * The rows as one value. SQLite's driver takes longer to bind a value than SQLite to read it out of JSON, and the text
 * of the statement is the same for any number of rows, so that it stays prepared.
 */
async function insertJson(
  sql: Sql,
  insert: {
    readonly table: string;
    readonly columns: readonly string[];
    readonly rows: readonly (readonly Value[])[];
    readonly tail: string;
  },
): Promise<void> {
  const { table, columns, rows, tail } = insert;
  if (rows.length === 0) return;
  const values = columns.map((_, index) => `json_extract(value, '$[${index}]')`);
  // "where true" tells the conflict clause from a join.
  await sql.execute(
    `insert into ${table} (${columns.join(', ')}) select ${values.join(', ')} from json_each(?) where true ${tail}`,
    [JSON.stringify(rows)],
  );
}

/** Inserts rows, or sets all columns of those that are there. `key`: the first so many columns are the primary key. */
export async function upsertRows(
  sql: Sql,
  table: string,
  columns: readonly string[],
  rows: readonly (readonly Value[])[],
  key = 1,
): Promise<void> {
  const set = columns.slice(key).map((column) => `${column} = excluded.${column}`);
  const tail = `on conflict (${columns.slice(0, key).join(', ')}) do update set ${set.join(', ')}`;
  await insertRows(sql, table, columns, rows, tail);
}

/** Deletes the rows of these keys. */
export async function deleteRows(
  sql: Sql,
  table: string,
  columns: readonly string[],
  keys: readonly (readonly Value[])[],
): Promise<void> {
  const pair = `(${places(columns)})`;
  for (const some of chunksOf(keys, columns.length)) {
    await sql.execute(
      `delete from ${table} where (${columns.join(', ')}) in (values ${some.map(() => pair).join(', ')})`,
      some.flat(),
    );
  }
}

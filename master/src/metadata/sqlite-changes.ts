import type { Value } from './database.ts';
import {
  type ChangedRows,
  changesIn,
  conflictClauseOf,
  type RowChange,
  type RowChangeName,
  rowChangeNames,
  rowChanges,
} from './row-changes.ts';
import { places } from './sql-text.ts';

/**
 * A whole batch as one statement. The driver takes a hop to another thread for each statement and longer to bind a value than SQLite to read
 * it out of JSON, so the rows of each change are one JSON value, inserted into a view of the connection's own; its trigger spreads them over the tables.
 * A statement outside a transaction is one by itself: all of it is committed and synced, or nothing is.
 */
export const sqliteBatchSetUp: readonly string[] = [
  `create temp view if not exists batch as select ${rowChangeNames.map((name) => `null as ${name}`).join(', ')}`,
  `create temp trigger if not exists write_batch instead of insert on batch begin ${rowChangeNames
    .map((name) => `${spread(name, rowChanges[name])};`)
    .join(' ')} end`,
];

/** The statement that writes a batch, always the same, so that it is prepared once; undefined when the batch changes nothing. */
export function sqliteBatchOf(
  changed: ChangedRows,
): { readonly sql: string; readonly values: readonly Value[] } | undefined {
  const changes = new Map(changesIn(changed));
  if (changes.size === 0) return undefined;
  const values = rowChangeNames.map((name) => {
    const rows = changes.get(name);
    return rows === undefined ? null : JSON.stringify(rows);
  });
  return { sql: insertBatch, values };
}

const insertBatch = `insert into batch (${rowChangeNames.join(', ')}) values (${places(rowChangeNames)})`;

/** Does nothing when the batch has no rows for it. */
function spread(name: RowChangeName, change: RowChange): string {
  const { table, kind, columns } = change;
  const names = columns.join(', ');
  const rows = `select ${columns.map((_, index) => `json_extract(value, '$[${index}]')`).join(', ')} from json_each(new.${name})`;
  if (kind === 'delete') return `delete from ${table} where (${names}) in (${rows})`;
  if (kind === 'add') {
    const sums = columns.map(
      (column, index) => `${column} = ${column} + json_extract(new.${name}, '$[0][${index}]')`,
    );
    return `update ${table} set ${sums.join(', ')} where id = 1 and new.${name} is not null`;
  }
  // "where true" tells the conflict clause from a join.
  return `insert into ${table} (${names}) ${rows} where true ${conflictClauseOf(change)}`;
}

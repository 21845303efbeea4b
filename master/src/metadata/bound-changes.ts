import type { Value } from './database.ts';
import {
  type ChangedRows,
  changesIn,
  conflictClauseOf,
  type RowChange,
  rowChanges,
} from './row-changes.ts';
import { chunksOf, places } from './sql-text.ts';

export interface BoundStatement {
  readonly sql: string;
  readonly values: readonly Value[];
}

/** A batch as plain statements with every value bound, to be run in this order in one transaction. */
export function* boundStatementsOf(changed: ChangedRows): Generator<BoundStatement> {
  for (const [name, rows] of changesIn(changed)) {
    const change = rowChanges[name];
    for (const some of chunksOf(rows, change.columns.length)) {
      yield { sql: textOf(change, some.length), values: some.flat() };
    }
  }
}

function textOf(change: RowChange, rowCount: number): string {
  const { table, kind, columns } = change;
  const names = columns.join(', ');
  const rows = Array(rowCount)
    .fill(`(${places(columns)})`)
    .join(', ');
  if (kind === 'delete') return `delete from ${table} where (${names}) in (values ${rows})`;
  if (kind === 'add') {
    return `update ${table} set ${columns.map((name) => `${name} = ${name} + ?`).join(', ')} where id = 1`;
  }
  return `insert into ${table} (${names}) values ${rows} ${conflictClauseOf(change)}`;
}

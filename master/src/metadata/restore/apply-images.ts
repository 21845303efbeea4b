import { type RowImage, StoreError } from '@dfs/shared';
import type { BulkSql, Value } from '../database.ts';
import { type JournaledTable, journaledTables } from '../snapshot/journaled-tables.ts';
import { deleteRows, insertRows } from './bulk-rows.ts';

type Row = Readonly<Record<string, Value>>;

/** What becomes of a row, by its key: its values, or null when it goes. */
type Outcomes = Map<string, { readonly key: readonly Value[]; readonly row: Row | null }>;

/**
 * Makes rows what the images say, in their order. Replaying images on rows that are newer does no harm as long as all later ones follow: a row that
 * takes a unique name from another one displaces it, and the displaced row comes again in a later image, or goes.
 */
export async function applyImages(sql: BulkSql, images: readonly RowImage[]): Promise<void> {
  for (const [table, outcomes] of outcomesOf(images)) {
    await writeOutcomes(sql, table, [...outcomes.values()]);
  }
}

const tablesByName = new Map(journaledTables.map((table) => [table.name, table]));

function outcomesOf(images: readonly RowImage[]): Map<JournaledTable, Outcomes> {
  const tables = new Map<JournaledTable, Outcomes>();
  /** Of tables with a unique name: which of the rows above has it. */
  const holders = new Map<string, string>();
  for (const image of images) {
    const table = tablesByName.get(image.table);
    if (!table) throw unknownTable(image.table);
    const outcomes = tables.get(table) ?? new Map();
    tables.set(table, outcomes);
    const key = table.columns.slice(0, table.keyColumns).map((name) => image.key[name] as Value);
    const id = JSON.stringify(key);
    const row = image.op === 'upsert' ? (image.row as Row) : null;
    // Set anew at the end: of two rows with one name, the later one has it.
    outcomes.delete(id);
    outcomes.set(id, { key, row });
    if (row === null || table.unique === undefined) continue;
    const name = JSON.stringify([table.name, ...table.unique.map((column) => row[column])]);
    const holder = holders.get(name);
    const held = holder === undefined || holder === id ? undefined : outcomes.get(holder);
    if (held && holder !== undefined && isNamed(held.row, table, name)) {
      outcomes.set(holder, { key: held.key, row: null });
    }
    holders.set(name, id);
  }
  return tables;
}

const isNamed = (row: Row | null, table: JournaledTable, name: string) =>
  row !== null &&
  JSON.stringify([table.name, ...(table.unique ?? []).map((column) => row[column])]) === name;

async function writeOutcomes(
  sql: BulkSql,
  table: JournaledTable,
  outcomes: readonly { readonly key: readonly Value[]; readonly row: Row | null }[],
): Promise<void> {
  const keyNames = table.columns.slice(0, table.keyColumns);
  const rows = outcomes.flatMap(({ row }) => (row === null ? [] : [row]));
  const gone = table.unique === undefined ? outcomes.filter(({ row }) => row === null) : outcomes;
  await deleteRows(
    sql,
    { table: table.name, columns: keyNames },
    gone.map(({ key }) => key),
  );
  const { unique } = table;
  if (unique !== undefined) {
    const names = rows.map((row) => unique.map((column) => row[column] as Value));
    await deleteRows(sql, { table: table.name, columns: unique }, names);
  }
  await upsertRows(sql, table, rows);
}

async function upsertRows(
  sql: BulkSql,
  { name, columns, keyColumns, defaults = {} }: JournaledTable,
  rows: readonly Row[],
): Promise<void> {
  const others = columns.slice(keyColumns).map((column) => `${column} = excluded.${column}`);
  const keys = columns.slice(0, keyColumns).join(', ');
  await insertRows(
    sql,
    {
      table: name,
      columns: [...columns, ...Object.keys(defaults)],
      onConflict: `on conflict (${keys}) do update set ${others.join(', ')}`,
    },
    // A column that came later is absent in older images.
    rows.map((row) => [
      ...columns.map((column) => row[column] ?? null),
      ...Object.values(defaults),
    ]),
  );
}

const unknownTable = (name: string) =>
  new StoreError(
    'conflict',
    `The journal holds rows of ${JSON.stringify(name.slice(0, 80))}, which this version of dfs does not know.`,
    { hint: 'Run the version of dfs that wrote it, or a later one.' },
  );

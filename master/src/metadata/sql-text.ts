/** SQLite binds 32 766 values to a statement, PostgreSQL 65 535. */
const valuesMax = 30_000;

/** As many question marks as there are values. */
export const places = (values: readonly unknown[]) => Array(values.length).fill('?').join(', ');

/** The items in runs of which each, at `valuesEach` values an item, can be bound to one statement. */
export function* chunksOf<Item>(items: readonly Item[], valuesEach: number): Generator<Item[]> {
  const size = Math.floor(valuesMax / valuesEach);
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size);
}

import type { JournalRecord, RowImage } from '@dfs/shared';
import type { Sql } from '../database.ts';

/** Rows of `changes` after a number; all of them are of the epoch that the database has: a restore leaves none of an older one. */
export async function readJournal(
  sql: Sql,
  {
    after,
    limit,
    epoch,
  }: { readonly after: number; readonly limit: number; readonly epoch: number },
): Promise<JournalRecord[]> {
  const rows = await sql.rows<{ number: number; at: number; images: string }>(
    'select number, at, images from changes where number > ? order by number limit ?',
    [after, limit],
  );
  return rows.map(({ number, at, images }) => ({
    number,
    epoch,
    at,
    images: JSON.parse(images) as RowImage[],
  }));
}

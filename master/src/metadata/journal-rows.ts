import { journalLineOf } from '@dfs/shared/cluster';
import type { Sql } from './database.ts';
import type { GroupCommit } from './group-commit.ts';

/** A change as a line that keepers take. */
export interface JournalLine {
  readonly number: number;
  readonly line: string;
}

const pageRows = 1_000;
/** In one transaction: a long delete would make every writer wait. */
const prunedRows = 1_000;

/** Rows of `changes` after a number, about `maxBytes` of them; all are of the epoch that the database has. */
export async function journalLines(
  sql: Sql,
  { after, maxBytes, epoch }: { after: number; maxBytes: number; epoch: number },
): Promise<JournalLine[]> {
  // Their lengths first: images of a thousand rows of one change may be long, and few of them fit.
  const sizes = await sql.rows<{ number: number; size: number }>(
    'select number, length(images) as size from changes where number > ? order by number limit ?',
    [after, pageRows],
  );
  let bytes = 0;
  const end = sizes.findIndex(({ size }, at) => {
    bytes += size;
    return at > 0 && bytes > maxBytes;
  });
  const last = sizes.at(end < 0 ? -1 : end - 1);
  if (!last) return [];
  const rows = await sql.rows<{ number: number; at: number; images: string }>(
    'select number, at, images from changes where number > ? and number <= ? order by number',
    [after, last.number],
  );
  return rows.map(({ number, at, images }) => ({
    number,
    line: journalLineOf({ number, epoch, at: Math.round(at), imagesText: images }),
  }));
}

export async function journalExtent(
  sql: Sql,
): Promise<{ readonly first: number; readonly last: number } | undefined> {
  const [row] = await sql.rows<{ first: number | null; last: number | null }>(
    'select (select min(number) from changes) as first, (select max(number) from changes) as last',
  );
  return row?.first == null || row.last == null ? undefined : { first: row.first, last: row.last };
}

export function pruneJournal(writes: GroupCommit, through: number): Promise<number> {
  let gone = 0;
  return writes.submit({
    rows: prunedRows,
    prepare: async (sql) => {
      // The newest one stays: the number of the next is told by it.
      const rows = await sql.rows(
        `delete from changes where number <= ? and number < (select max(number) from changes)
         and number < (select min(number) from changes) + ? returning number`,
        [through, prunedRows],
      );
      gone = rows.length;
    },
    decide: () => gone,
  });
}

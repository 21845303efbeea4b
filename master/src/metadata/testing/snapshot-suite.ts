import { expect, it } from 'vitest';
import { bind, onNewDatabase, path } from './metadata-fixtures.ts';
import type { MetadataHarness, OpenMetadata } from './metadata-harness.ts';

/** What leaves the database so that it can be rebuilt: journal records and snapshots. */
export function describeSnapshots(open: OpenMetadata): void {
  it(
    'gives the changes after a number, in order and without gaps',
    onNewDatabase(open, async ({ repository }) => {
      for (const name of ['/a', '/b', '/c']) await bind(repository, name);
      const records = await repository.journalRecords(1, 10);
      expect(records.map(({ number, epoch }) => [number, epoch])).toEqual([
        [2, 1],
        [3, 1],
      ]);
      expect(records[0]?.images.map((image) => image.table)).toContain('entries');
      expect(await repository.journalRecords(1, 1)).toEqual(records.slice(0, 1));
      expect(await repository.journalRecords(repository.journalNumber(), 10)).toEqual([]);
    }),
  );

  it(
    'writes every journaled row of one moment, whatever is committed meanwhile',
    onNewDatabase(open, async (harness) => {
      const { repository } = harness;
      // More than a page.
      await repository.makeDirectory(path('/d'));
      for (let at = 0; at < 1_200; at += 100) {
        const names = Array.from({ length: 100 }, (_, i) => `/d/${at + i}`);
        await Promise.all(names.map((name) => bind(repository, name)));
      }
      const expected = await rowsOf(harness);
      const lines: unknown[] = [];
      for await (const piece of repository.snapshot({ isConsistent: true })) {
        lines.push(...linesIn(piece));
        await bind(repository, `/d/later-${lines.length}`);
        await repository.removeEntry(path(`/d/${lines.length % 1_000}`)).catch(() => {});
      }
      const from = 1 + 1_200;
      expect(lines[0]).toMatchObject({
        snapshot: { format: 1, ...repository.identity(), from },
      });
      expect(lines.at(-1)).toMatchObject({ end: { from, to: from, images: lines.length - 2 } });
      expect(sorted(lines.slice(1, -1).map((line) => (line as { row: object }).row))).toEqual(
        sorted(expected),
      );
    }),
  );

  it(
    'says up to which change a row of a running snapshot may be',
    onNewDatabase(open, async ({ repository }) => {
      await bind(repository, '/a');
      const lines: unknown[] = [];
      for await (const piece of repository.snapshot({ isConsistent: false })) {
        lines.push(...linesIn(piece));
        await bind(repository, `/b-${lines.length}`);
      }
      const { end } = lines.at(-1) as { end: { from: number; to: number } };
      expect(end.from).toBe(1);
      expect(end.to).toBeGreaterThan(1);
    }),
  );
}

export const linesIn = (piece: string): unknown[] =>
  piece
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);

const sorted = (rows: readonly object[]) => rows.map((row) => JSON.stringify(row)).sort();

async function rowsOf({ rows }: MetadataHarness): Promise<object[]> {
  const tables = [
    'select id, parent_id, name, kind, file_id, created_at, modified_at, visibility, copies from entries',
    'select id, size_bytes, md5, content_type, attributes, created_at from files',
    'select file_id, sequence, blob_id, offset_bytes from file_blobs',
    'select id, size_bytes, md5, copies_wanted from blobs',
  ];
  const found = await Promise.all(tables.map((sql) => rows<Record<string, unknown>>(sql)));
  // The plain driver gives 8-byte integers as text.
  return found
    .flat()
    .map((row) =>
      Object.fromEntries(
        Object.entries(row).map(([column, value]) => [
          column,
          /_at$|_bytes$/.test(column) ? Number(value) : value,
        ]),
      ),
    );
}

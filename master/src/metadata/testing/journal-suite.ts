import { expect, it } from 'vitest';
import { expectNoContradictions } from './invariants.ts';
import { bind, onNewDatabase, path } from './metadata-fixtures.ts';
import type { OpenMetadata } from './metadata-harness.ts';

/** How the journal is read for those who keep it, and what of it is forgotten. */
export function describeJournal(open: OpenMetadata): void {
  it(
    'gives changes as lines, about as many bytes as wanted and one at least',
    onNewDatabase(open, async ({ repository }) => {
      for (let i = 1; i <= 9; i += 1) await bind(repository, `/ä/${i}`);
      const all = await repository.journalLines(0, 1_000_000);
      expect(all.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
      const records = await repository.journalRecords(0, 100);
      expect(all.map(({ line }) => JSON.parse(line))).toEqual(records);
      const some = await repository.journalLines(4, 2 * (all[5]?.line.length ?? 0));
      expect(some.map(({ number }) => number)).toEqual([5, 6, 7].slice(0, some.length));
      expect(some.length).toBeLessThan(4);
      expect(await repository.journalLines(4, 1)).toHaveLength(1);
      expect(await repository.journalLines(9, 1_000)).toEqual([]);
    }),
  );

  it(
    'tells of each commit once it can be read',
    onNewDatabase(open, async ({ repository }) => {
      const heard: number[] = [];
      const stop = repository.onJournal((number) => heard.push(number));
      await bind(repository, '/a');
      await Promise.all([bind(repository, '/b'), bind(repository, '/c')]);
      expect(heard.at(-1)).toBe(3);
      expect(heard.length).toBeLessThanOrEqual(3);
      await repository.renewUploads([], Date.now());
      expect(heard.at(-1)).toBe(3);
      stop();
      await bind(repository, '/d');
      expect(heard.at(-1)).toBe(3);
    }),
  );

  it(
    'forgets the oldest changes and never the newest',
    onNewDatabase(open, async (harness) => {
      const { repository } = harness;
      expect(await repository.journalExtent()).toBeUndefined();
      expect(await repository.pruneJournal(100)).toBe(0);
      for (let at = 0; at < 1_300; at += 100) {
        const names = Array.from({ length: 100 }, (_, i) => `/d/${at + i}`);
        await Promise.all(names.map((name) => bind(repository, name)));
      }
      expect(await repository.pruneJournal(250)).toBe(250);
      expect(await repository.journalExtent()).toEqual({ first: 251, last: 1_300 });
      expect(await repository.pruneJournal(250)).toBe(0);
      // A thousand in one transaction.
      expect(await repository.pruneJournal(9_999)).toBe(1_000);
      expect(await repository.pruneJournal(9_999)).toBe(49);
      expect(await repository.pruneJournal(9_999)).toBe(0);
      expect(await repository.journalExtent()).toEqual({ first: 1_300, last: 1_300 });
      await expectNoContradictions(harness, 'after forgetting');

      const again = await harness.reopen();
      expect(again.journalNumber()).toBe(1_300);
      expect(await again.isEmpty()).toBe(false);
      await again.makeDirectory(path('/later'));
      expect(again.journalNumber()).toBe(1_301);
      await expectNoContradictions(harness, 'after a start');
    }),
  );
}

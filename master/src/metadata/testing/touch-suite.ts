import { expect, it } from 'vitest';
import { expectNoContradictions } from './invariants.ts';
import { bind, newDirectory, onNewDatabase, path, sharedHarness } from './metadata-fixtures.ts';
import type { OpenMetadata } from './metadata-harness.ts';

const modifiedAtMs = Date.UTC(2001, 1, 3, 4, 5, 6, 789);

/** Times of files and directories that somebody sets. */
export function describeTouching(open: OpenMetadata): void {
  const harness = sharedHarness(open);

  it('sets the time of a file and leaves all else of it', async () => {
    const { repository, clock } = harness();
    const at = path(`${newDirectory()}/f`);
    const { named } = await bind(repository, at, { visibility: 'public' });
    await repository.setCopies(at, 2);
    clock.advance(1_000);
    const before = await repository.findFile(at);
    expect(before?.entry.modifiedAtMs).not.toBe(modifiedAtMs);
    const touched = await repository.touchEntry(at, modifiedAtMs);
    expect(touched).toEqual({ ...before?.entry, modifiedAtMs });
    expect(touched).toMatchObject({ id: named.entry.id, copies: 2, visibility: 'public' });
    // Asked before and after it was cached.
    for (const found of [await repository.findFile(at), await repository.findFile(at)]) {
      expect(found).toEqual({ ...before, entry: touched });
    }
    expect(await repository.findFileById(named.file.id)).toEqual({ ...before, entry: touched });
  });

  it('sets the time of a directory alone, of the root too', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    await bind(repository, `${directory}/sub/f`);
    for (const at of [`${directory}/sub`, '/']) {
      const before = await repository.findEntry(path(at));
      const touched = await repository.touchEntry(path(at), modifiedAtMs);
      expect(touched).toEqual({ ...before, modifiedAtMs });
      expect(await repository.findEntry(path(at))).toEqual(touched);
    }
    for (const other of [directory, `${directory}/sub/f`]) {
      expect(await repository.findEntry(path(other))).not.toMatchObject({ modifiedAtMs });
    }
    const { entries } = await repository.listDirectory(path(directory), { limit: 9 });
    expect(entries).toMatchObject([{ name: 'sub', modifiedAtMs }]);
  });

  it('finds nothing where nothing is, below a file, or in the trash, and changes nothing then', async () => {
    const { repository, clock } = harness();
    const directory = newDirectory();
    await bind(repository, `${directory}/file`);
    await bind(repository, `${directory}/gone`);
    await repository.removeEntry(path(`${directory}/gone`), { trashUntilMs: clock.now() + 9_999 });
    const number = repository.journalNumber();
    for (const at of ['none', 'no/such', 'file/below', 'gone']) {
      const touched = await repository.touchEntry(path(`${directory}/${at}`), modifiedAtMs);
      expect(touched, at).toBeUndefined();
    }
    expect(repository.journalNumber()).toBe(number);
    const { entries } = await repository.listDirectory(path(directory), { limit: 9 });
    expect(entries.map(({ name }) => name)).toEqual(['file']);
  });

  it(
    'is one row of the journal with the whole entry, and outlives the process',
    onNewDatabase(open, async (own) => {
      const { named } = await bind(own.repository, '/d/f');
      const number = own.repository.journalNumber();
      // A clock of another program may tell parts of a millisecond.
      const touched = await own.repository.touchEntry(path('/d/f'), modifiedAtMs + 0.4);
      expect(touched).toEqual({ ...named.entry, modifiedAtMs });
      const records = await own.repository.journalRecords(number, 9);
      expect(records).toMatchObject([
        {
          number: number + 1,
          images: [
            {
              table: 'entries',
              op: 'upsert',
              key: { id: named.entry.id },
              row: { name: 'f', file_id: named.file.id, modified_at: modifiedAtMs },
            },
          ],
        },
      ]);
      const reopened = await own.reopen();
      expect((await reopened.findFile(path('/d/f')))?.entry).toEqual(touched);
      await expectNoContradictions(own, 'after a touch');
    }),
  );

  it('is decided in the order in which it was asked for, among other changes of the name', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    const [from, to] = [path(`${directory}/from`), path(`${directory}/to`)];
    await bind(repository, from);
    const [first, , missed, last, again] = await Promise.all([
      repository.touchEntry(from, 1_000),
      repository.moveEntry({ from, to, overwrite: false }),
      repository.touchEntry(from, 2_000),
      repository.touchEntry(to, 3_000),
      repository.touchEntry(to, 4_000),
    ]);
    expect([first, last, again].map((entry) => entry?.modifiedAtMs)).toEqual([1_000, 3_000, 4_000]);
    expect(missed).toBeUndefined();
    expect(await repository.findEntry(to)).toEqual(again);
  });
}

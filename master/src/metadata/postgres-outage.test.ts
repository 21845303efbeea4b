import { StoreError } from '@dfs/shared';
import { startPostgres, type TestServer } from '@dfs/shared/testing';
import { afterAll, describe, expect, it } from 'vitest';
import { bind, onNewDatabase, path } from './testing/metadata-fixtures.ts';
import { openOnPostgres } from './testing/metadata-harness.ts';

const postgres = await startPostgres();
afterAll(() => postgres?.stop());

describe.skipIf(!postgres)('a PostgreSQL that goes and comes back', () => {
  const server = () => postgres as TestServer;
  const open = openOnPostgres(server);

  it(
    'fails writes and reads as unavailable meanwhile, loses nothing acknowledged, and is written again',
    onNewDatabase(open, async ({ repository, rows }) => {
      const acknowledged: string[] = [];
      let failures = 0;
      let isOver = false;
      const write = async (writer: number) => {
        for (let n = 0; !isOver; n += 1) {
          const at = `/${writer}/${n}`;
          try {
            await bind(repository, at);
            acknowledged.push(at);
          } catch (error) {
            expect(error).toBeInstanceOf(StoreError);
            expect((error as StoreError).kind).toBe('unavailable');
            failures += 1;
          }
          await new Promise(setImmediate);
        }
      };
      const writers = Array.from({ length: 16 }, (_, n) => write(n));
      await until(() => acknowledged.length > 200);
      await server().kill();
      await until(() => failures > 50);
      await expect(repository.counts()).rejects.toMatchObject({ kind: 'unavailable' });
      await server().restart();
      const before = acknowledged.length;
      await until(() => acknowledged.length > before + 200);
      isOver = true;
      await Promise.all(writers);
      for (const at of acknowledged) expect(await repository.findFile(path(at))).toBeDefined();
      const numbers = await rows<{ number: string }>('select number from changes order by number');
      expect(numbers.map((row) => Number(row.number))).toEqual(numbers.map((_, n) => n + 1));
      expect(repository.journalNumber()).toBe(numbers.length);
    }),
  );

  it(
    'is not written by a master that lost it to another one',
    onNewDatabase(open, async ({ repository, openSecond, rows }) => {
      await bind(repository, '/before');
      await server().kill();
      await server().restart();
      const second = await openSecond();
      await bind(second, '/by-the-second');
      // The first tries: once its old connection is found dead, the lock is not to be had.
      const attempts = await Promise.allSettled([bind(repository, '/a'), bind(repository, '/b')]);
      const later = await Promise.allSettled([bind(repository, '/c')]);
      for (const result of [...attempts, ...later]) expect(result.status).toBe('rejected');
      await second.close();
      await until(() =>
        bind(repository, '/first-again').then(
          () => true,
          () => false,
        ),
      );
      // It learnt what the other one wrote, and numbers go on after it.
      expect(await repository.findFile(path('/by-the-second'))).toBeDefined();
      const numbers = await rows<{ number: string }>('select number from changes order by number');
      expect(numbers.map((row) => Number(row.number))).toEqual([1, 2, 3]);
    }),
  );
  it(
    'does not run again what failed at the commit, since it may have taken place',
    onNewDatabase(open, async ({ repository, rows }) => {
      await rows(`create function refuse() returns trigger language plpgsql as
        $$ begin raise exception 'refused at the commit'; end $$`);
      await rows(`create constraint trigger refuse after insert on entries deferrable initially deferred
        for each row when (new.name = 'refused') execute function refuse()`);
      const results = await Promise.allSettled([
        bind(repository, '/beside'),
        bind(repository, '/refused'),
      ]);
      for (const result of results) {
        expect(result).toMatchObject({ status: 'rejected', reason: { kind: 'unavailable' } });
      }
      expect(await repository.findFile(path('/beside'))).toBeUndefined();
      await bind(repository, '/after');
      const numbers = await rows<{ number: string }>('select number from changes order by number');
      expect(numbers.map((row) => Number(row.number))).toEqual([1]);
    }),
  );
});

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise(setImmediate);
}

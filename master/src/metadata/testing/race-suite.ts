import { StoreError } from '@dfs/shared';
import { expect, it } from 'vitest';
import type { BindOutcome, MetadataRepository } from '../metadata-repository.ts';
import {
  bind,
  bindRequest,
  copiesOf,
  kindOf,
  newDirectory,
  nodeA,
  onNewDatabase,
  path,
  sharedHarness,
} from './metadata-fixtures.ts';
import type { OpenMetadata } from './metadata-harness.ts';

const writers = 64;
const everyone = <Result>(work: (n: number) => Promise<Result>) =>
  Promise.allSettled(Array.from({ length: writers }, (_, n) => work(n)));

/** Many writers at once: what they meet is decided by the order in which they came. */
export function describeRaces(open: OpenMetadata): void {
  const harness = sharedHarness(open);

  it('keeps the files of all writers of one name under names of their own', async () => {
    const { repository } = harness();
    const at = `${newDirectory()}/report.pdf`;
    const outcomes = fulfilled(
      await everyone((n) => bind(repository, at, { content: `${n}`, onConflict: 'rename' })),
    );
    expect(new Set(outcomes.map((outcome) => outcome.named.path)).size).toBe(writers);
    for (const { named } of outcomes) expect(await repository.findFile(named.path)).toEqual(named);
  });

  it('lets the last writer of one name win, and lets go of what the others wrote', async () => {
    const { repository } = harness();
    const at = path(`${newDirectory()}/file`);
    const outcomes = fulfilled(await everyone((n) => bind(repository, at, { content: `${n}` })));
    const winner = await repository.findFile(at);
    const replaced = new Set(outcomes.map((outcome) => outcome.replaced));
    // Each content but the winner's was replaced exactly once; nothing was there before the first.
    expect(replaced.size).toBe(writers);
    expect(replaced).not.toContain(winner?.file.id);
    for (const { named } of outcomes) {
      const isThere = (await repository.findFileById(named.file.id)) !== undefined;
      expect(isThere).toBe(named.file.id === winner?.file.id);
    }
  });

  it('lets exactly one writer have a name that must be free', async () => {
    const { repository } = harness();
    const at = path(`${newDirectory()}/file`);
    const results = await everyone((n) =>
      bind(repository, at, { content: `${n}`, onConflict: 'fail' }),
    );
    const [winner, ...others] = fulfilled(results, 'precondition-failed');
    expect(others).toEqual([]);
    expect(await repository.findFile(at)).toEqual(winner?.named);
  });

  it('lets exactly one writer replace what all of them saw', async () => {
    const { repository } = harness();
    const at = path(`${newDirectory()}/file`);
    const { named } = await bind(repository, at, { content: 'seen by all' });
    const results = await everyone((n) =>
      bind(repository, at, { content: `${n}`, ifMatch: [named.file.md5] }),
    );
    const [winner, ...others] = fulfilled(results, 'precondition-failed');
    expect(others).toEqual([]);
    expect(await repository.findFile(at)).toEqual(winner?.named);
  });

  it('lets one writer make the parents of all', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    const outcomes = fulfilled(await everyone((n) => bind(repository, `${directory}/a/b/${n}`)));
    expect(new Set(outcomes.map((outcome) => outcome.named.entry.parentId)).size).toBe(1);
  });

  it('binds and removes one name at once: it is there or not, never half', async () => {
    const { repository } = harness();
    const at = path(`${newDirectory()}/sub/file`);
    for (let round = 0; round < 10; round += 1) {
      const results = await Promise.allSettled([
        bind(repository, at),
        repository.removeEntry(at),
        bind(repository, at),
        repository.removeEntry(at),
        ...(round % 2 === 0 ? [bind(repository, at)] : []),
      ]);
      for (const result of results) {
        if (result.status === 'rejected') expect(result.reason).toEqual(kindOf('not-found'));
      }
      const named = await repository.findFile(at);
      const { entries } = await repository.listDirectory(path(`${at}`.replace('/file', '')), {
        limit: 9,
      });
      expect(entries.map((entry) => entry.fileId)).toEqual(named ? [named.file.id] : []);
      if (named) expect(await repository.findFileById(named.file.id)).toEqual(named);
    }
  });

  it('makes a parent again that vanishes while a file is bound in it', async () => {
    const { repository } = harness();
    const directory = path(newDirectory());
    for (let round = 0; round < 10; round += 1) {
      await repository.makeDirectory(directory);
      const [removed, bound] = await Promise.allSettled([
        repository.removeEntry(directory),
        bind(repository, `${directory}/file`),
        repository.makeDirectory(directory),
      ]);
      expect(removed.status).toBe('fulfilled');
      expect(bound.status).toBe('fulfilled');
      expect(await repository.findFile(path(`${directory}/file`))).toBeDefined();
      await repository.removeEntry(path(`${directory}/file`));
    }
  });

  it('lets one of two moves of directories into each other win, and makes no ring of them', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    const at = (name: string) => path(`${directory}/${name}`);
    for (let round = 0; round < 12; round += 1) {
      await bind(repository, `${directory}/a/x/f`);
      await bind(repository, `${directory}/b/y/g`);
      const moves = [
        () => repository.moveEntry({ from: at('a'), to: at('b/y/a'), overwrite: false }),
        () => repository.moveEntry({ from: at('b'), to: at('a/x/b'), overwrite: false }),
      ];
      const results = await Promise.allSettled(
        (round % 2 === 0 ? moves : moves.reverse()).map((move) => move()),
      );
      const done = results.filter(({ status }) => status === 'fulfilled');
      expect(done).toHaveLength(1);
      for (const result of results) {
        // Where the other one was to go has moved away with it.
        if (result.status === 'rejected') expect(result.reason).toEqual(kindOf('conflict'));
      }
      const names = await allPaths(repository, directory);
      expect(names).toHaveLength(6);
      await repository.removeEntry(path(directory));
    }
  });

  it('moves many directories into each other at once, and every one is still there', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    const names = Array.from({ length: 8 }, (_, n) => `d${n}`);
    for (const name of names) await repository.makeDirectory(path(`${directory}/${name}`));
    const moves = names.flatMap((from) =>
      names.map((to) => ({ from: `${directory}/${from}`, to: `${directory}/${to}/${from}` })),
    );
    const results = await Promise.allSettled(
      moves.map(({ from, to }) =>
        repository.moveEntry({ from: path(from), to: path(to), overwrite: false }),
      ),
    );
    for (const result of results) {
      if (result.status === 'fulfilled') continue;
      expect(['conflict', 'not-found']).toContain((result.reason as StoreError).kind);
    }
    const found = await allPaths(repository, directory);
    expect(found.map((at) => at.split('/').at(-1)).sort()).toEqual(names);
  });

  it('lets one of many moves of one directory win, and all of it is in one place', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    await bind(repository, `${directory}/from/deep/f`);
    const results = await everyone((n) =>
      repository.moveEntry({
        from: path(`${directory}/from`),
        to: path(`${directory}/to-${n}`),
        overwrite: false,
      }),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toEqual(kindOf('not-found'));
    }
    expect(await allPaths(repository, directory)).toHaveLength(3);
  });

  it('binds in a directory that is moved at the same time: at the old place or at the new one, and never nowhere', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    await bind(repository, `${directory}/a/f`);
    for (let round = 0; round < 10; round += 1) {
      const [from, to] = round % 2 === 0 ? ['a', 'b'] : ['b', 'a'];
      const move = () =>
        repository.moveEntry({
          from: path(`${directory}/${from}`),
          to: path(`${directory}/${to}`),
          overwrite: true,
        });
      const put = (n: number) => bind(repository, `${directory}/${from}/${round}-${n}`);
      const outcomes = await Promise.all([put(0), put(1), move(), put(2), put(3)]);
      const bound = outcomes.flatMap((outcome) => ('named' in outcome ? [outcome.named] : []));
      for (const [n, { file }] of bound.entries()) {
        const where = n < 2 ? to : from;
        const named = await repository.findFileById(file.id);
        expect(named?.path).toBe(`${directory}/${where}/${round}-${n}`);
        expect(await repository.findFile(named?.path as never)).toEqual(named);
      }
      await repository.removeEntry(path(`${directory}/${from}`));
    }
  });

  it('removes a directory while files are bound in it: each is gone with it, or is in a new one', async () => {
    const { repository, clock } = harness();
    const directory = newDirectory();
    for (const trash of [{}, { trashUntilMs: clock.now() + 1_000 }]) {
      await bind(repository, `${directory}/d/old`);
      const results = await Promise.all([
        bind(repository, `${directory}/d/before`),
        repository.removeEntry(path(`${directory}/d`), trash).then(() => undefined),
        bind(repository, `${directory}/d/after`),
      ]);
      const names = await allPaths(repository, directory);
      expect(names).toEqual([`${directory}/d`, `${directory}/d/after`]);
      expect(await repository.findFileById(results[0].named.file.id)).toBeUndefined();
      expect(await repository.findFileById(results[2].named.file.id)).toBeDefined();
      await repository.removeEntry(path(directory));
    }
  });

  it('moves over a directory while files are bound in it', async () => {
    const { repository, clock } = harness();
    const directory = newDirectory();
    await bind(repository, `${directory}/d/old`);
    await bind(repository, `${directory}/new`);
    const [before, moved, after] = await Promise.allSettled([
      bind(repository, `${directory}/d/before`),
      repository.moveEntry({
        from: path(`${directory}/new`),
        to: path(`${directory}/d`),
        overwrite: true,
        trashUntilMs: clock.now() + 1_000,
      }),
      bind(repository, `${directory}/d/after`),
    ]);
    expect([before.status, moved.status]).toEqual(['fulfilled', 'fulfilled']);
    expect(after).toMatchObject({ reason: kindOf('not-a-directory') });
    expect(await allPaths(repository, directory)).toEqual([`${directory}/d`]);
    const { items } = await repository.listTrash({
      nowMs: clock.now(),
      limit: 1,
      path: path(`${directory}/d`),
    });
    expect(items).toMatchObject([{ kind: 'directory', reason: 'replaced' }]);
  });

  it('brings an item back once, however many ask for it', async () => {
    const { repository, clock } = harness();
    const at = `${newDirectory()}/f`;
    const { named } = await bind(repository, at);
    await repository.removeEntry(named.path, { trashUntilMs: clock.now() + 1_000 });
    const results = await everyone((n) =>
      repository.restoreTrashed(named.entry.id, { to: path(`${at}-${n}`), onConflict: 'fail' }),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toEqual(kindOf('not-found'));
    }
    expect((await repository.findFileById(named.file.id))?.entry.id).toBe(named.entry.id);
  });

  it('never shows a name at both places, or at none, while a directory goes to and fro', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    const { named } = await bind(repository, `${directory}/a/deep/f`);
    const places = [path(`${directory}/a`), path(`${directory}/b`)] as const;
    let isMoving = true;
    const move = async () => {
      for (let n = 0; n < 60; n += 1) {
        const [from, to] = n % 2 === 0 ? places : [places[1], places[0]];
        await repository.moveEntry({ from, to, overwrite: false });
      }
      isMoving = false;
    };
    const read = async () => {
      while (isMoving) {
        const found = await repository.findFileById(named.file.id);
        expect(found?.path).toMatch(/\/[ab]\/deep\/f$/);
        const { entries } = await repository.listDirectory(path(directory), { limit: 9 });
        expect(entries).toHaveLength(1);
        await new Promise(setImmediate);
      }
    };
    await Promise.all([move(), ...Array.from({ length: 4 }, read)]);
  });

  it('never gives an old content for a name after its new one was acknowledged', async () => {
    const { repository } = harness();
    const at = path(`${newDirectory()}/file`);
    let acknowledged = 0;
    await bind(repository, at, { content: 'x'.repeat(acknowledged) });
    let isWriting = true;
    const write = async () => {
      for (let size = 1; size <= 50; size += 1) {
        await bind(repository, at, { content: 'x'.repeat(size) });
        acknowledged = size;
      }
      isWriting = false;
    };
    const read = async () => {
      while (isWriting) {
        const least = acknowledged;
        const named = await repository.findFile(at);
        expect(named?.file.sizeBytes).toBeGreaterThanOrEqual(least);
        expect(named?.entry.fileId).toBe(named?.file.id);
        await new Promise(setImmediate);
      }
    };
    await Promise.all([write(), ...Array.from({ length: 8 }, read)]);
  });

  it('fails a bad write alone when it was committed together with others', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    const results = await everyone((n) => {
      const request = bindRequest(`${directory}/${n}`);
      // Nothing checks this before the database does.
      const bad = { ...request, file: { ...request.file, contentType: undefined as never } };
      return repository.bindFiles([n === 40 ? bad : request]);
    });
    for (const [n, result] of results.entries()) {
      expect(result.status).toBe(n === 40 ? 'rejected' : 'fulfilled');
      if (result.status === 'rejected') {
        // It goes into the log: what was to be written does not.
        expect(String((result.reason as Error).cause)).not.toContain(directory.slice(1));
      }
      const named = await repository.findFile(path(`${directory}/${n}`));
      expect(named === undefined).toBe(n === 40);
    }
  });

  it(
    'finds free names among 10 000 of one name',
    onNewDatabase(open, async ({ repository }) => {
      const numbered = Array.from(
        { length: 10_000 },
        (_, n) => `/x${n === 0 ? '' : ` (${n})`}.txt`,
      );
      for (let at = 0; at < numbered.length; at += 500) {
        await repository.bindFiles(numbered.slice(at, at + 500).map((name) => bindRequest(name)));
      }
      const outcomes = fulfilled(
        await everyone(() => bind(repository, '/x.txt', { onConflict: 'rename' })),
      );
      const names = outcomes.map((outcome) => outcome.named.path).sort();
      expect(names).toEqual(Array.from({ length: writers }, (_, n) => `/x (${10_000 + n}).txt`));
    }),
  );

  it(
    'numbers the journal without a gap in the order of commits',
    onNewDatabase(open, async ({ repository, rows, reopen }) => {
      await everyone((n) => bind(repository, `/same`, { content: `${n}` }));
      await everyone((n) => bind(repository, `/none/${n}`, { ifMatch: '*' }));
      await everyone((n) => repository.makeDirectory(path(`/directory/${n % 8}`)));
      const changes = await rows<{ number: string; images: string }>(
        'select number, images from changes order by number',
      );
      expect(changes.map((row) => Number(row.number))).toEqual(
        Array.from({ length: writers + 8 }, (_, n) => n + 1),
      );
      expect(repository.journalNumber()).toBe(writers + 8);
      // The order of the rows is the order of the winners: the last image of the name is what holds.
      const owners = changes
        .flatMap(
          ({ images }) =>
            JSON.parse(images) as { table: string; row?: { name: string; file_id: string } }[],
        )
        .filter((image) => image.table === 'entries' && image.row?.name === 'same');
      const named = await repository.findFile(path('/same'));
      expect(owners.at(-1)?.row?.file_id).toBe(named?.file.id);
      expect((await reopen()).journalNumber()).toBe(writers + 8);
    }),
  );

  it(
    'decides between binding an unreferenced blob and giving it up',
    onNewDatabase(open, async ({ repository, clock }) => {
      for (let round = 0; round < 10; round += 1) {
        const request = bindRequest('/file');
        await repository.bindFiles([request]);
        await repository.removeEntry(path('/file'));
        clock.advance(1);
        const release = () =>
          repository.releaseUnreferenced({
            beforeMs: clock.now(),
            nowMs: clock.now(),
            held: new Set(),
            limit: 10,
          });
        const again = () => repository.bindFiles([request]);
        const [bound] = await Promise.allSettled(
          round % 2 === 0 ? [again(), release()] : [release().then(again)],
        );
        const blobId = request.blobs[0]?.blobId as never;
        if (bound?.status === 'fulfilled') {
          expect(await copiesOf(repository, blobId)).toBe('A:stored*');
          await repository.removeEntry(path('/file'));
        } else {
          expect(bound?.reason).toEqual(kindOf('conflict'));
          expect(await copiesOf(repository, blobId)).toBe('A:dropping*');
        }
        await dropAll(repository, clock.now());
      }
    }),
  );
}

async function allPaths(repository: MetadataRepository, directory: string): Promise<string[]> {
  const paths: string[] = [];
  for await (const page of repository.walkTree(path(directory))) {
    paths.push(...page.map((entry) => entry.path));
  }
  return paths;
}

async function dropAll(repository: MetadataRepository, nowMs: number): Promise<void> {
  const drops = await repository.dueDrops({ nowMs, nodes: [nodeA], limit: 100 });
  await repository.confirmDropped(drops, nowMs);
}

/** The outcomes; every rejection must be of this kind. */
function fulfilled(
  results: readonly PromiseSettledResult<BindOutcome>[],
  kind?: StoreError['kind'],
): BindOutcome[] {
  return results.flatMap((result) => {
    if (result.status === 'fulfilled') return [result.value];
    if (!(result.reason instanceof StoreError) || result.reason.kind !== kind) throw result.reason;
    return [];
  });
}

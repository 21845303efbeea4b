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

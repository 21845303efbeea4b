import { describe, expect, it } from 'vitest';
import type { MoveRequest } from '../tree-changes.ts';
import { bind, kindOf, md5Of, newDirectory, path, sharedHarness } from './metadata-fixtures.ts';
import type { OpenMetadata } from './metadata-harness.ts';

/** Names that get another place. */
export function describeMoving(open: OpenMetadata): void {
  const harness = sharedHarness(open);
  const move = (from: string, to: string, changes: Partial<MoveRequest> = {}) =>
    harness().repository.moveEntry({
      from: path(from),
      to: path(to),
      overwrite: false,
      ...changes,
    });
  const found = async (at: string) => (await harness().repository.findFile(path(at)))?.file.id;

  it('moves a file with its content and its times', async () => {
    const { repository, clock } = harness();
    const directory = newDirectory();
    const { named } = await bind(repository, `${directory}/a`, { visibility: 'public' });
    clock.advance(1_000);
    await repository.makeDirectory(path(`${directory}/to`));
    const outcome = await move(`${directory}/a`, `${directory}/to/b`);
    expect(outcome).toMatchObject({ isNew: true, path: `${directory}/to/b` });
    expect(await repository.findFile(path(`${directory}/a`))).toBeUndefined();
    const moved = await repository.findFile(path(`${directory}/to/b`));
    expect(moved).toMatchObject({ file: named.file, isPublic: true });
    const { parentId: _, name: __, ...kept } = named.entry;
    expect(moved?.entry).toEqual({ ...kept, parentId: outcome.entry.parentId, name: 'b' });
    expect(await repository.findFileById(named.file.id)).toEqual(moved);
  });

  it('moves a directory with all that is in it, and takes the rights of its new place', async () => {
    const { repository, rows } = harness();
    const directory = newDirectory();
    const { named } = await bind(repository, `${directory}/a/deep/f`);
    await repository.makeDirectory(path(`${directory}/open`));
    await rows(`update entries set visibility = 'public' where name = 'open'`);
    await move(`${directory}/a`, `${directory}/open/b`);
    expect(await found(`${directory}/a/deep/f`)).toBeUndefined();
    expect(await found(`${directory}/open/b/deep/f`)).toBe(named.file.id);
    expect((await repository.findFileById(named.file.id))?.path).toBe(`${directory}/open/b/deep/f`);
    // What is stored at the old place is another directory.
    const other = await bind(repository, `${directory}/a/deep/f`);
    expect(await found(`${directory}/open/b/deep/f`)).toBe(named.file.id);
    expect(await found(`${directory}/a/deep/f`)).toBe(other.named.file.id);
  });

  it.each([
    ['a name that is not there', '/none', '/x', 'not-found'],
    ['something below a file', '/f/x', '/x', 'not-found'],
    ['a directory into itself', '/d', '/d/e/x', 'conflict'],
    ['a directory into itself, where a parent is missing', '/d', '/d/none/x', 'conflict'],
    ['a directory onto itself', '/d', '/d', 'forbidden'],
    ['a file onto itself', '/f', '/f', 'forbidden'],
    ['to where no directory is', '/f', '/none/x', 'conflict'],
    ['below a file', '/d', '/f/x', 'not-a-directory'],
    ['deep below a file', '/d', '/f/x/y', 'not-a-directory'],
    ['onto a directory that it is in', '/d/e/g', '/d', 'conflict'],
  ] as const)('refuses to move %s', async (_, from, to, kind) => {
    const { repository } = harness();
    const directory = newDirectory();
    await bind(repository, `${directory}/d/e/g`);
    await bind(repository, `${directory}/f`);
    await expect(
      move(`${directory}${from}`, `${directory}${to}`, { overwrite: true }),
    ).rejects.toEqual(kindOf(kind));
    expect(await found(`${directory}/d/e/g`)).toBeDefined();
    expect(await found(`${directory}/f`)).toBeDefined();
  });

  it('moves neither the root nor anything onto it', async () => {
    const directory = newDirectory();
    await bind(harness().repository, `${directory}/f`);
    const overwrite = { overwrite: true };
    await expect(move('/', `${directory}/x`, overwrite)).rejects.toEqual(kindOf('conflict'));
    await expect(move('/', '/', overwrite)).rejects.toEqual(kindOf('conflict'));
    await expect(move(`${directory}/f`, '/', overwrite)).rejects.toEqual(kindOf('conflict'));
  });

  describe.each(['file', 'empty directory', 'full directory'])('a %s', (source) => {
    it.each(['file', 'empty directory', 'full directory'])(
      'takes the place of a %s when it may, and all of that is gone',
      async (target) => {
        const { repository } = harness();
        const directory = newDirectory();
        const make = async (kind: string, at: string) => {
          if (kind === 'empty directory') await repository.makeDirectory(path(at));
          else await bind(repository, kind === 'file' ? at : `${at}/sub/${at.at(-1)}`);
        };
        await make(source, `${directory}/a`);
        await make(target, `${directory}/b`);
        const before = await repository.findEntry(path(`${directory}/a`));
        await expect(move(`${directory}/a`, `${directory}/b`)).rejects.toEqual(
          kindOf('precondition-failed'),
        );
        const outcome = await move(`${directory}/a`, `${directory}/b`, { overwrite: true });
        expect(outcome.isNew).toBe(false);
        expect(await repository.findEntry(path(`${directory}/a`))).toBeUndefined();
        const after = await repository.findEntry(path(`${directory}/b`));
        expect(after).toEqual({ ...before, name: 'b' });
        expect(await repository.findEntry(path(`${directory}/b/sub/b`))).toBeUndefined();
        if (source === 'full directory') {
          expect(await found(`${directory}/b/sub/a`)).toBeDefined();
        }
      },
    );
  });

  it('judges both ends as the request expects them', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    const [from, to] = [`${directory}/a`, `${directory}/b`];
    await bind(repository, from, { content: 'a' });
    await bind(repository, to, { content: 'b' });
    for (const wrong of [
      { source: { ifMatch: [md5Of('b')] } },
      { destination: { ifMatch: [md5Of('a')] } },
      { destination: { ifNoneMatch: '*' } },
    ] as const) {
      await expect(move(from, to, { overwrite: true, ...wrong })).rejects.toEqual(
        kindOf('precondition-failed'),
      );
    }
    await move(from, to, {
      overwrite: true,
      source: { ifMatch: [md5Of('a')] },
      destination: { ifMatch: [md5Of('b')] },
    });
    expect((await repository.findFile(path(to)))?.file.md5).toBe(md5Of('a'));
  });

  it('turns a name around with two others in one batch', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    const names = ['a', 'b', 'c'].map((name) => `${directory}/${name}`) as [string, string, string];
    for (const name of names) await bind(repository, `${name}/${name.at(-1)}`);
    const [a, b, c] = names;
    await Promise.all([
      move(a, `${directory}/t`),
      move(b, a),
      move(c, b),
      move(`${directory}/t`, c),
    ]);
    expect(await found(`${a}/b`)).toBeDefined();
    expect(await found(`${b}/c`)).toBeDefined();
    expect(await found(`${c}/a`)).toBeDefined();
  });
}

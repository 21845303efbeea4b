import { describe, expect, it } from 'vitest';
import { type Content, decide } from './decide.ts';

const plain = { mayDelete: false, isForced: false };
const deleting = { mayDelete: true, isForced: false };
const forced = { mayDelete: false, isForced: true };
const both = { mayDelete: true, isForced: true };

const dir = 'directory';
const none = undefined;

/** source, target, base, then what is done: plainly, with --delete, with --force, with both. */
const table: readonly (readonly [
  meaning: string,
  source: Content,
  target: Content,
  base: Content,
  plain: string,
  deleting: string,
  forced: string,
  both: string,
])[] = [
  ['nothing anywhere', none, none, none, 'same', 'same', 'same', 'same'],
  ['gone from both sides', none, none, 'a', 'same', 'same', 'same', 'same'],
  ['equal, never synchronised', 'a', 'a', none, 'same', 'same', 'same', 'same'],
  ['equal, both made the same change', 'b', 'b', 'a', 'same', 'same', 'same', 'same'],
  ['directories', dir, dir, none, 'same', 'same', 'same', 'same'],
  ['new at the source', 'a', none, none, 'create', 'create', 'create', 'create'],
  ['a new directory', dir, none, none, 'create', 'create', 'create', 'create'],
  ['deleted at the target', 'a', none, 'a', 'create', 'create', 'create', 'create'],
  ['a directory deleted there', dir, none, dir, 'create', 'create', 'create', 'create'],
  [
    'changed here, deleted there',
    'b',
    none,
    'a',
    'both-changed',
    'both-changed',
    'create',
    'create',
  ],
  [
    'a directory here, the file deleted there',
    dir,
    none,
    'a',
    'create',
    'create',
    'create',
    'create',
  ],
  ['changed at the source', 'b', 'a', 'a', 'update', 'update', 'update', 'update'],
  ['changed at the target', 'a', 'b', 'a', 'target-changed', 'target-changed', 'update', 'update'],
  ['changed at both', 'b', 'c', 'a', 'both-changed', 'both-changed', 'update', 'update'],
  [
    'different, never synchronised',
    'a',
    'b',
    none,
    'never-synchronised',
    'never-synchronised',
    'update',
    'update',
  ],
  ['only at the target', none, 'a', none, 'keep', 'delete', 'keep', 'delete'],
  ['deleted at the source', none, 'a', 'a', 'keep', 'delete', 'keep', 'delete'],
  ['deleted here, changed there', none, 'b', 'a', 'both-changed', 'both-changed', 'keep', 'delete'],
  [
    'a directory deleted here, a file there',
    none,
    'b',
    dir,
    'both-changed',
    'both-changed',
    'keep',
    'delete',
  ],
  ['a directory only at the target', none, dir, none, 'keep', 'delete', 'keep', 'delete'],
  ['a file deleted here, a directory there', none, dir, 'a', 'keep', 'delete', 'keep', 'delete'],
  ['a file became a directory', dir, 'a', 'a', 'other-kind', 'replace', 'other-kind', 'replace'],
  ['a directory became a file', 'a', dir, dir, 'other-kind', 'replace', 'other-kind', 'replace'],
  [
    'a file became a directory, changed there',
    dir,
    'b',
    'a',
    'both-changed',
    'both-changed',
    'other-kind',
    'replace',
  ],
  [
    'became a directory there only',
    'a',
    dir,
    'a',
    'target-changed',
    'target-changed',
    'other-kind',
    'replace',
  ],
  [
    'of two kinds, never synchronised',
    dir,
    'a',
    none,
    'never-synchronised',
    'never-synchronised',
    'other-kind',
    'replace',
  ],
];

const said = (facing: Parameters<typeof decide>[0], permissions: Parameters<typeof decide>[1]) => {
  const action = decide(facing, permissions);
  return action.kind === 'hold' ? action.reason : action.kind;
};

describe('what push and pull do at a path', () => {
  it.each(table)('%s: %s onto %s, once %s', (_meaning, source, target, base, ...wanted) => {
    const facing = { source, target, base };
    const done = [plain, deleting, forced, both].map((permissions) => said(facing, permissions));
    expect(done).toEqual(wanted);
  });

  const contents = [none, dir, 'a', 'b', 'c'];
  const facings = contents.flatMap((source) =>
    contents.flatMap((target) => contents.map((base) => ({ source, target, base }))),
  );

  it('takes no name from the target without --delete', () => {
    for (const facing of facings) {
      for (const permissions of [plain, forced]) {
        expect(['delete', 'replace'], JSON.stringify(facing)).not.toContain(
          said(facing, permissions),
        );
      }
    }
  });

  it('overwrites no file that came to the target since the last time without --force', () => {
    for (const { source, target, base } of facings) {
      if (target === base || target === dir || target === undefined || source === undefined)
        continue;
      for (const permissions of [plain, deleting]) {
        const done = said({ source, target, base }, permissions);
        expect(['update', 'replace'], JSON.stringify([source, target, base])).not.toContain(done);
      }
    }
  });

  it('makes the sides equal with both, whatever there was', () => {
    for (const facing of facings) {
      const done = said(facing, both);
      const wanted =
        facing.source === facing.target ? ['same'] : ['create', 'update', 'replace', 'delete'];
      expect(wanted, JSON.stringify(facing)).toContain(done);
    }
  });
});

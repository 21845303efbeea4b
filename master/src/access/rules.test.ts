import type { AccessRole, FilePath } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import { isAllowed, type Operation, type Principal } from './rules.ts';

const operations: readonly Operation[] = ['read', 'list', 'write', 'delete', 'share', 'admin'];
const admin: Principal = { kind: 'admin' };
const anonymous: Principal = { kind: 'anonymous' };
const keyOf = (role: AccessRole, prefix = '/team'): Principal => ({
  kind: 'key',
  id: 'dk',
  role,
  prefix: prefix as FilePath,
});

const inside = '/team/plans/a.txt' as FilePath;
const outside = '/teamwork/a.txt' as FilePath;

/** For each principal, operation and place: what is allowed on a private thing, and what on a public one. */
const table: readonly [string, Principal, FilePath, readonly Operation[], readonly Operation[]][] =
  [
    ['the cluster key', admin, inside, operations, operations],
    ['a stranger', anonymous, inside, [], ['read', 'list']],
    ['a read key inside', keyOf('read'), inside, ['read', 'list'], ['read', 'list']],
    [
      'a write key inside',
      keyOf('write'),
      inside,
      ['read', 'list', 'write', 'delete', 'share'],
      ['read', 'list', 'write', 'delete', 'share'],
    ],
    ['an admin key inside', keyOf('admin'), inside, operations, operations],
    ['a read key outside', keyOf('read'), outside, [], ['read', 'list']],
    ['a write key outside', keyOf('write'), outside, [], ['read', 'list']],
    ['an admin key outside', keyOf('admin'), outside, [], ['read', 'list']],
    [
      'a write key at its prefix',
      keyOf('write'),
      '/team' as FilePath,
      operations.slice(0, 5),
      operations.slice(0, 5),
    ],
    ['a read key of everything', keyOf('read', '/'), outside, ['read', 'list'], ['read', 'list']],
    ['an admin key of everything', keyOf('admin', '/'), outside, operations, operations],
    // The way to the prefix can be listed, and that is all.
    [
      'a write key above its prefix',
      keyOf('write', '/a/b/c'),
      '/a/b' as FilePath,
      ['list'],
      ['read', 'list'],
    ],
    [
      'a write key at the root',
      keyOf('write', '/a/b/c'),
      '/' as FilePath,
      ['list'],
      ['read', 'list'],
    ],
  ];

describe('what is allowed', () => {
  const cases = table.flatMap(([who, principal, path, onPrivate, onPublic]) =>
    operations.flatMap((operation) => [
      [who, operation, 'private', onPrivate.includes(operation), principal, path, false] as const,
      [who, operation, 'public', onPublic.includes(operation), principal, path, true] as const,
    ]),
  );
  it.each(cases)(
    '%s may %s what is %s: %s',
    (_who, operation, _what, is, principal, path, isPublic) => {
      expect(isAllowed(principal, operation, { path, isPublic })).toBe(is);
    },
  );

  it.each<[string, Principal, readonly Operation[]]>([
    ['the cluster key', admin, operations],
    ['a stranger', anonymous, []],
    ['an admin key of a part', keyOf('admin'), []],
    ['a read key of everything', keyOf('read', '/'), ['read', 'list']],
    ['a write key of everything', keyOf('write', '/'), operations.slice(0, 5)],
    ['an admin key of everything', keyOf('admin', '/'), operations],
  ])(
    '%s may do to the whole cluster only what its rights over the root allow',
    (_who, principal, allowed) => {
      expect(operations.filter((operation) => isAllowed(principal, operation))).toEqual(allowed);
    },
  );
});

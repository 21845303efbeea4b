import { newFileId } from '@dfs/shared';
import { expect, it } from 'vitest';
import type { AccessKeyRecord, AddressGrant } from '../rights.ts';
import { bind, bindRequest, kindOf, onNewDatabase, path } from './metadata-fixtures.ts';
import type { OpenMetadata } from './metadata-harness.ts';

export const accessKey = (id: string, more: Partial<AccessKeyRecord> = {}): AccessKeyRecord => ({
  id,
  name: `key ${id}`,
  role: 'read',
  prefix: path('/docs'),
  secret: `sealed ${id}`,
  createdAtMs: 1_000,
  ...more,
});

let grants = 0;
export const grant = (more: Partial<AddressGrant> = {}): AddressGrant => {
  grants += 1;
  return {
    id: `${String(grants).padStart(8, '0')}-0000-7000-8000-000000000000`,
    path: path('/docs/a'),
    fileId: newFileId(),
    network: '192.0.2.0/24',
    createdBy: 'admin',
    createdAtMs: 1_000,
    expiresAtMs: 5_000,
    ...more,
  };
};

/** Keys, grants, revocations and visibility. */
export function describeRights(open: OpenMetadata): void {
  it(
    'keeps access keys over a restart, each id once, and forgets the removed one',
    onNewDatabase(open, async ({ repository, reopen }) => {
      const keys = [accessKey('dkb'), accessKey('dka', { role: 'admin', prefix: path('/') })];
      await Promise.all(keys.map((key) => repository.addAccessKey(key)));
      await expect(repository.addAccessKey(accessKey('dka'))).rejects.toEqual(kindOf('conflict'));
      expect(await repository.listAccessKeys()).toEqual([keys[1], keys[0]]);
      await repository.resealAccessKeys(
        new Map([
          ['dka', 'sealed anew'],
          ['dkgone', 'of no key'],
        ]),
      );
      expect(await repository.removeAccessKey('dkb')).toBe(true);
      expect(await repository.removeAccessKey('dkb')).toBe(false);
      const after = await reopen();
      expect(await after.listAccessKeys()).toEqual([{ ...keys[1], secret: 'sealed anew' }]);
    }),
  );

  it(
    'gives the grants of a content that have not ended, and takes back all or those of one network',
    onNewDatabase(open, async ({ repository }) => {
      const fileId = newFileId();
      const [wide, late, other] = [
        grant({ fileId }),
        grant({ fileId, network: '198.51.100.7/32', expiresAtMs: 9_000 }),
        grant(),
      ];
      for (const one of [wide, late, other]) await repository.addGrant(one);
      expect(await repository.grantsOf(fileId, 4_999)).toEqual([wide, late]);
      expect(await repository.grantsOf(fileId, 5_000)).toEqual([late]);
      expect(await repository.removeGrants({ fileId, network: wide.network })).toBe(1);
      expect(await repository.removeGrants({ fileId, network: wide.network })).toBe(0);
      expect(await repository.grantsOf(fileId, 0)).toEqual([late]);
      expect(await repository.removeGrants({ fileId })).toBe(1);
      expect(await repository.grantsOf(other.fileId, 0)).toEqual([other]);
    }),
  );

  it(
    'lists grants below a path in pages, and none of a name that only begins like it',
    onNewDatabase(open, async ({ repository }) => {
      const at = ['/a', '/a/b', '/a/ü/c', '/ab', '/a.b', '/a0', '/A/b'].map((text) =>
        grant({ path: path(text) }),
      );
      for (const one of at) await repository.addGrant(one);
      const first = await repository.listGrants({ under: path('/a'), limit: 2 });
      expect(first.grants).toEqual(at.slice(0, 2));
      const rest = { under: path('/a'), limit: 2, after: first.next as string };
      expect(await repository.listGrants(rest)).toEqual({ grants: [at[2]] });
      expect((await repository.listGrants({ under: path('/'), limit: 100 })).grants).toEqual(at);
      const odd = ['/ä', '/ä/b', '/äb', '/ä0', '/Ä/b', '/a\u0308/b', '/ä/\uffee', '/ä/😀/c'].map(
        (text) => grant({ path: path(text) }),
      );
      for (const one of odd) await repository.addGrant(one);
      const below = await repository.listGrants({ under: path('/ä'), limit: 100 });
      expect(below.grants.map((one) => one.path)).toEqual(['/ä', '/ä/b', '/ä/\uffee', '/ä/😀/c']);
    }),
  );

  it(
    'never shortens a revocation',
    onNewDatabase(open, async ({ repository }) => {
      const both = [
        { subject: 'f:x', issuedBeforeMs: 20, expiresAtMs: 30 },
        { subject: 'f:x', issuedBeforeMs: 10, expiresAtMs: 40 },
      ];
      await Promise.all(both.map((one) => repository.addRevocation(one)));
      expect(await repository.revocationsOf(['f:x', 'f:y'])).toEqual([
        { subject: 'f:x', issuedBeforeMs: 20, expiresAtMs: 40 },
      ]);
      expect(await repository.revocationsOf([])).toEqual([]);
    }),
  );

  it(
    'purges what has ended and nothing else, and journals that it is gone',
    onNewDatabase(open, async ({ repository, rows }) => {
      const [ended, lasting] = [grant(), grant({ expiresAtMs: 7_000 })];
      await repository.addGrant(ended);
      await repository.addGrant(lasting);
      await repository.addRevocation({ subject: 'old', issuedBeforeMs: 1, expiresAtMs: 2 });
      await repository.addRevocation({ subject: 'new', issuedBeforeMs: 1, expiresAtMs: 9_000 });
      expect(await repository.purgeRights(6_000)).toBe(2);
      expect(await repository.purgeRights(6_000)).toBe(0);
      expect((await repository.listGrants({ under: path('/'), limit: 9 })).grants).toEqual([
        lasting,
      ]);
      expect(await repository.revocationsOf(['old', 'new'])).toHaveLength(1);
      const [last] = await rows<{ images: string }>(
        'select images from changes order by number desc limit 1',
      );
      expect(JSON.parse(last?.images ?? '')).toEqual([
        { table: 'address_grants', op: 'delete', key: { id: ended.id } },
        { table: 'link_revocations', op: 'delete', key: { subject: 'old' } },
      ]);
    }),
  );

  it(
    'makes a directory public with all that inherits, at once for every kind of reader',
    onNewDatabase(open, async ({ repository }) => {
      await bind(repository, '/d/e/file');
      await repository.bindFiles([bindRequest('/d/secret', { visibility: 'private' })]);
      const seen = async () => [
        (await repository.findFile(path('/d/e/file')))?.isPublic,
        (await repository.findNamed(path('/d/e')))?.isPublic,
        (await repository.listDirectory(path('/d/e'), { limit: 9 })).entries[0]?.isPublic,
        (await repository.findFile(path('/d/secret')))?.isPublic,
      ];
      expect(await seen()).toEqual([false, false, false, false]);
      await repository.setVisibility(path('/d'), 'public');
      expect(await seen()).toEqual([true, true, true, false]);
      await repository.setVisibility(path('/d/e'), 'private');
      expect(await seen()).toEqual([false, false, false, false]);
      await repository.setVisibility(path('/d/e'), 'inherit');
      await repository.setVisibility(path('/d'), 'inherit');
      await repository.setVisibility(path('/'), 'public');
      expect(await seen()).toEqual([true, true, true, false]);
      await expect(repository.setVisibility(path('/none'), 'public')).rejects.toEqual(
        kindOf('not-found'),
      );
    }),
  );
}

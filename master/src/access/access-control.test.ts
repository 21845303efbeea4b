import { ClusterKeyring } from '@dfs/shared/cluster';
import { describe, expect, it } from 'vitest';
import { AccessControl, type Operation } from './access-control.ts';

const refusalOf = (action: () => unknown) => {
  try {
    action();
  } catch (error) {
    return (error as { kind: string }).kind;
  }
  return undefined;
};

describe('access control with a key', () => {
  const access = new AccessControl({ keyring: ClusterKeyring.of('right') });

  it.each([
    [{ authorization: 'Bearer right' }],
    [{ authorization: 'bearer   right ' }],
    [{ 'shard-key': 'right' }],
  ])('knows an administrator by %j', (headers) => {
    expect(access.authenticate(headers)).toEqual({ kind: 'admin' });
  });

  it('takes a request without a key for an anonymous one, whatever its host and origin', () => {
    const headers = { host: 'files.example', origin: 'http://elsewhere.example' };
    expect(access.authenticate(headers)).toEqual({ kind: 'anonymous' });
  });

  it.each([
    [{ authorization: 'Bearer wrong' }],
    [{ authorization: 'Basic cmlnaHQ=' }],
    [{ authorization: 'Bearer' }],
    [{ 'shard-key': 'wrong' }],
    [{ 'shard-key': ' ' }],
    [{ authorization: 'Bearer wrong', 'shard-key': 'right' }],
    [{ authorization: 'Bearer right', 'shard-key': 'wrong' }],
  ])('refuses the wrong key %j and counts it', (headers) => {
    let failures = 0;
    const counted = new AccessControl({
      keyring: ClusterKeyring.of('right'),
      onWrongKey: () => failures++,
    });
    expect(refusalOf(() => counted.authenticate(headers))).toBe('unauthorized');
    expect(failures).toBe(1);
  });

  it.each<[Operation, boolean | undefined, boolean]>([
    ['read', true, true],
    ['list', true, true],
    ['read', false, false],
    ['read', undefined, false],
    ['list', false, false],
    ['write', true, false],
    ['delete', true, false],
    ['admin', true, false],
  ])('lets anyone %s a thing whose publicity is %s: %s', (operation, isPublic, isAllowed) => {
    const target = isPublic === undefined ? {} : { isPublic };
    expect(access.may({ kind: 'anonymous' }, operation, target)).toBe(isAllowed);
    const refusal = refusalOf(() => access.authorize({ kind: 'anonymous' }, operation, target));
    expect(refusal).toBe(isAllowed ? undefined : 'unauthorized');
    expect(access.may({ kind: 'admin' }, operation, target)).toBe(true);
  });
});

describe('access control without a key', () => {
  const access = new AccessControl({ keyring: ClusterKeyring.of() });

  it('takes a local request for an administrator', () => {
    expect(access.authenticate({ host: '127.0.0.1:7040' })).toEqual({ kind: 'admin' });
  });

  it('refuses what a web page may have sent', () => {
    expect(refusalOf(() => access.authenticate({ host: 'evil.example' }))).toBe('forbidden');
    const crossSite = { host: 'localhost', 'sec-fetch-site': 'cross-site' };
    expect(refusalOf(() => access.authenticate(crossSite))).toBe('forbidden');
  });
});

import type { FilePath } from '@dfs/shared';
import { ClusterKeyring } from '@dfs/shared/cluster';
import { FakeClock, recordingLogger } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { AccessControl } from './access-control.ts';
import { FailureThrottle } from './failure-throttle.ts';
import type { Principal } from './rules.ts';

const origin = { clientAddress: '192.0.2.1' };

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
    expect(access.authenticate(headers, origin)).toEqual({ kind: 'admin' });
  });

  it('takes a request without a key for an anonymous one, whatever its host and origin', () => {
    const headers = { host: 'files.example', origin: 'http://elsewhere.example' };
    expect(access.authenticate(headers, origin)).toEqual({ kind: 'anonymous' });
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
      onFailure: () => failures++,
    });
    expect(refusalOf(() => counted.authenticate(headers, origin))).toBe('unauthorized');
    expect(failures).toBe(1);
  });

  it('counts, tells and at last refuses wrong keys, unread and from their address alone', () => {
    const clock = new FakeClock();
    const { logger, lines } = recordingLogger();
    const told: string[] = [];
    const limited = new AccessControl({
      ...{ keyring: ClusterKeyring.of('right'), logger, throttle: new FailureThrottle(clock) },
      onFailure: (kind) => told.push(kind),
    });
    const ask = (key: string, clientAddress = '192.0.2.1') =>
      refusalOf(() => limited.authenticate({ 'shard-key': key }, { clientAddress }));
    const secret = `dk${'a'.repeat(18)}.${'S'.repeat(40)}`;
    for (let n = 0; n < 10; n += 1) expect(ask(secret)).toBe('unauthorized');
    expect(ask('right')).toBe('too-many-requests');
    expect(ask('right', '192.0.2.2')).toBeUndefined();
    expect(refusalOf(() => limited.authenticate({}, { clientAddress: '192.0.2.1' }))).toBe(
      undefined,
    );
    clock.advance(6_000);
    expect(ask('right')).toBeUndefined();
    expect(told).toEqual([...Array(10).fill('wrong-key'), 'throttled']);
    expect(lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
    expect(lines[0]?.fields).toEqual({ address: '192.0.2.1', keyId: `dk${'a'.repeat(18)}` });
    expect(JSON.stringify(lines)).not.toContain('SSSS');
  });

  it('tells a stranger that a key is needed, and the holder of one what it lacks', () => {
    const path = '/photos/2024/a.jpg' as FilePath;
    const key = { kind: 'key', id: 'dk1', role: 'read', prefix: '/photos' } as Principal;
    expect(refusalOf(() => access.authorize({ kind: 'anonymous' }, 'read', { path }))).toBe(
      'unauthorized',
    );
    expect(refusalOf(() => access.authorize(key, 'read', { path }))).toBeUndefined();
    expect(() => access.authorize(key, 'write', { path })).toThrow(
      'The access key dk1 (role read, prefix /photos) may not write /photos/2024/a.jpg.',
    );
    expect(refusalOf(() => access.authorize(key, 'write', { path }))).toBe('forbidden');
    expect(() => access.authorize(key, 'admin')).toThrow('no administrator of the whole cluster');
  });
});

describe('access control without a key', () => {
  const access = new AccessControl({ keyring: ClusterKeyring.of() });

  it('takes a local request for an administrator', () => {
    expect(access.authenticate({ host: '127.0.0.1:7040' }, origin)).toEqual({ kind: 'admin' });
  });

  it('refuses what a web page may have sent', () => {
    expect(refusalOf(() => access.authenticate({ host: 'evil.example' }, origin))).toBe(
      'forbidden',
    );
    const crossSite = { host: 'localhost', 'sec-fetch-site': 'cross-site' };
    expect(refusalOf(() => access.authenticate(crossSite, origin))).toBe('forbidden');
  });
});

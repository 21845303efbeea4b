import { describe, expect, it } from 'vitest';
import { credentialsOf, parseAccessKey } from './credentials.ts';

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
const key = (text: string) => ({ kind: 'key', key: text });
const unreadable = { kind: 'unreadable' };

describe('what a request proves itself with', () => {
  it.each([
    [{}, { kind: 'none' }],
    [{ 'shard-key': 'k' }, key('k')],
    [{ 'shard-key': '  k  ' }, key('k')],
    [{ authorization: 'Bearer k' }, key('k')],
    [{ authorization: 'Bearer k', 'shard-key': 'k' }, key('k')],
    [{ authorization: basic('dkid:secret') }, key('dkid.secret')],
    [{ authorization: basic('dkid:a:b') }, key('dkid.a:b')],
    [{ authorization: basic('dkid:secret'), 'shard-key': 'dkid.secret' }, key('dkid.secret')],
    [{ 'shard-key': '' }, unreadable],
    [{ authorization: '' }, unreadable],
    [{ authorization: 'Bearer' }, unreadable],
    [{ authorization: 'Digest k' }, unreadable],
    [{ authorization: basic('no colon') }, unreadable],
    [{ authorization: 'Bearer a', 'shard-key': 'b' }, unreadable],
    [{ authorization: basic('dkid:secret'), 'shard-key': 'k' }, unreadable],
  ])('is read from %j', (headers, expected) => {
    expect(credentialsOf(headers)).toEqual(expected);
  });

  const id = `dk${'a2'.repeat(9)}`;
  const secret = 'x_-9'.repeat(10);
  it('is an access key by its form', () => {
    expect(parseAccessKey(`${id}.${secret}`)).toEqual({ id, secret });
  });

  it.each([
    '',
    id,
    `${id}.`,
    `${id}.${secret}x`,
    `${id}${secret}`,
    `${id.toUpperCase()}.${secret}`,
    `${id}.${secret}\n`,
  ])('is no access key: %j', (text) => {
    expect(parseAccessKey(text)).toBeUndefined();
  });
});

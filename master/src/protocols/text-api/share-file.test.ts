import { describe, expect, it } from 'vitest';
import { testKey } from '../testing/test-public-server.ts';
import { type Call, PlainCalls, withKey } from './testing/plain-calls.ts';

const calls = new PlainCalls();
const { call } = calls;

describe('presign', () => {
  const opened = (reference: string) => call(`stream/${reference}`);

  it('gives a reference that opens the file, until it is taken back', async () => {
    const signed = await call('presign/one@private.txt?duration=60', { headers: withKey });
    expect(signed.status).toBe(200);
    expect(signed.text).toMatch(/^one@private\.txt\?signature=[A-Za-z0-9_-]{40,}$/);
    expect(await opened(signed.text)).toMatchObject({ status: 200, text: 'for some' });
    expect((await call(`download/${signed.text}`)).status).toBe(200);
    const signature = signed.text.slice(signed.text.indexOf('=') + 1);
    expect((await opened(`one@other.txt?signature=${signature}`)).status).toBe(401);
    expect(
      (await opened(`one@private.txt?signature=${signature.replace(/.$/, '_')}x`)).status,
    ).toBe(401);
    const revoked = await call(`presign?signature=${signature}`, {
      method: 'DELETE',
      headers: withKey,
    });
    expect(revoked).toMatchObject({ status: 200, text: signature });
    expect((await opened(signed.text)).status).toBe(401);
    expect(JSON.stringify(calls.server.lines)).not.toContain(signature);
  });

  it.each<[string, string, Call, number, RegExp]>([
    [
      'no duration',
      'presign/one@private.txt',
      { headers: withKey },
      400,
      /^Value duration is not defined$/,
    ],
    [
      'a wrong duration',
      'presign/one@private.txt?duration=soon',
      { headers: withKey },
      400,
      /seconds/,
    ],
    ['no time', 'presign/one@private.txt?duration=0', { headers: withKey }, 400, /seconds/],
    ['a public file', 'presign/one@public.txt?duration=60', { headers: withKey }, 409, /is public/],
    ['no such file', 'presign/one@none.txt?duration=60', { headers: withKey }, 404, /no file/],
    [
      'a climbing reference',
      'presign/one@..%2Fprivate.txt?duration=60',
      { headers: withKey },
      400,
      /"\.\."/,
    ],
    ['no key', 'presign/one@private.txt?duration=60', {}, 401, /^Denied: /],
    [
      'a wrong key',
      'presign/one@private.txt?duration=60',
      { headers: { 'shard-key': 'x' } },
      401,
      /^Denied: /,
    ],
    [
      'no signature',
      'presign',
      { method: 'DELETE', headers: withKey },
      400,
      /^Value signature is not defined$/,
    ],
    [
      'what is no signature',
      'presign?signature=abc',
      { method: 'DELETE', headers: withKey },
      400,
      /signature/,
    ],
    ['a signature without a key', 'presign?signature=abc', { method: 'DELETE' }, 401, /^Denied: /],
    ['nothing to sign', 'presign?duration=60', { headers: withKey }, 405, /GET/],
  ])('refuses %s', async (_name, path, request, status, text) => {
    const answer = await call(path, request);
    expect(answer.status).toBe(status);
    expect(answer.text).toMatch(text);
  });
});

describe('ipv4access', () => {
  const grant = (query: string, request: Call = { headers: withKey }) =>
    call(`ipv4access/one@private.txt${query}`, request);
  const revoke = { method: 'DELETE', headers: withKey };

  it.each(['127.0.0.1', '127.0.0.0/8', '::ffff:127.0.0.1'])(
    'lets who asks from %s read the file, until it is taken back',
    async (address) => {
      const query = `ipv4=${encodeURIComponent(address)}`;
      expect((await call('stream/one@private.txt')).status).toBe(401);
      expect(await grant(`?duration=60&${query}`)).toMatchObject({ status: 200, text: address });
      expect(await call('stream/one@private.txt')).toMatchObject({ status: 200, text: 'for some' });
      expect((await call('stream/one@other.txt')).status).toBe(401);
      expect(await grant(`?${query}`, revoke)).toMatchObject({ status: 200, text: address });
      expect((await call('stream/one@private.txt')).status).toBe(401);
    },
  );

  it('lets nobody else read it, whatever they claim', async () => {
    await grant('?duration=60&ipv4=172.17.0.1');
    const statusFor = async (headers: Record<string, string>) =>
      (await call('stream/one@private.txt', { headers })).status;
    // This server trusts a proxy on this machine.
    expect(await statusFor({ 'x-forwarded-for': '172.17.0.1' })).toBe(200);
    for (const headers of [
      { 'x-forwarded-for': '172.17.0.2' },
      { 'x-forwarded-for': '172.17.0.1, 172.17.0.2' },
      { 'x-real-ip': '172.17.0.1', forwarded: 'for=172.17.0.1' },
      { 'x-dfs-client-address': '172.17.0.1', 'x-dfs-forwarded-key': testKey },
    ]) {
      expect(await statusFor(headers)).toBe(401);
    }
    await grant('?ipv4=172.17.0.1', revoke);
    expect(await statusFor({ 'x-forwarded-for': '172.17.0.1' })).toBe(401);
  });

  it.each<[string, string, Call, number, RegExp]>([
    [
      'no duration',
      '?ipv4=172.17.0.1',
      { headers: withKey },
      400,
      /^Value duration is not defined$/,
    ],
    ['no address', '?duration=60', { headers: withKey }, 400, /^Value ipv4 is not defined$/],
    ['no address to take back', '', revoke, 400, /^Value ipv4 is not defined$/],
    [
      'a wrong address',
      '?duration=60&ipv4=somewhere',
      { headers: withKey },
      400,
      /neither an address/,
    ],
    ['no key', '?duration=60&ipv4=172.17.0.1', {}, 401, /^Denied: /],
    ['no key to take back', '?ipv4=172.17.0.1', { method: 'DELETE' }, 401, /^Denied: /],
  ])('refuses %s', async (_name, query, request, status, text) => {
    const answer = await grant(query, request);
    expect(answer.status).toBe(status);
    expect(answer.text).toMatch(text);
  });
});

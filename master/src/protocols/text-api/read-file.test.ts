import { describe, expect, it } from 'vitest';
import { testKey } from '../testing/test-public-server.ts';
import { type Call, form, PlainCalls, withKey } from './testing/plain-calls.ts';

const calls = new PlainCalls();
const { call } = calls;

describe('stream and download', () => {
  it.each<[string, Record<string, string>, number, string | RegExp]>([
    ['one@public.txt', {}, 200, 'for all'],
    ['another@public.txt', {}, 200, 'for all'],
    ['public.txt', {}, 200, 'for all'],
    ['one%40public.txt', {}, 200, 'for all'],
    ['one@private.txt', withKey, 200, 'for some'],
    ['one@private.txt', { authorization: `Bearer ${testKey}` }, 200, 'for some'],
    ['one@private.txt', {}, 401, /^Denied: /],
    ['one@private.txt', { 'shard-key': 'wrong' }, 401, /^Denied: /],
    ['one@none.txt', {}, 404, 'There is no file none.txt.'],
    ['one@none.txt', withKey, 404, 'There is no file none.txt.'],
    ['one@dir', withKey, 404, 'There is no file dir.'],
    ['one@../private.txt', withKey, 400, /"\.\."/],
    ['one@%2e%2e%2fprivate.txt', withKey, 400, /"\.\."/],
    ['one@', withKey, 400, /names no file/],
    ['', withKey, 400, /names no file/],
    ['one@public.txt', { range: 'bytes=0-2' }, 206, 'for'],
    ['one@public.txt', { range: 'bytes=-3' }, 206, 'all'],
    ['one@public.txt', { range: 'bytes=90-' }, 416, /range|long|bytes/i],
  ])('of %s with %j answer %i', async (reference, headers, status, text) => {
    for (const kind of ['stream', 'download']) {
      const answer = await calls.server.raw(`GET /api/v1/${kind}/${reference}`, {
        key: null,
        headers: Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
      });
      expect(answer.status).toBe(status);
      if (typeof text === 'string') expect(answer.body.toString()).toBe(text);
      else expect(answer.body.toString()).toMatch(text);
    }
  });

  it('are shown and saved under the name of the file', async () => {
    const shown = await call('stream/one@public.txt');
    expect(shown.headers.get('content-disposition')).toBe('inline; filename="public.txt"');
    const saved = await call('download/one@public.txt');
    expect(saved.headers.get('content-disposition')).toBe('attachment; filename="public.txt"');
    expect((await call('stream/one@public.txt', { method: 'HEAD' })).status).toBe(200);
  });

  it('cannot be written to', async () => {
    const wrong = await call('stream/one@public.txt', { method: 'POST', headers: withKey });
    expect(wrong.status).toBe(405);
    expect(wrong.headers.get('allow')).toBe('GET, HEAD');
  });
});

describe('delete', () => {
  it.each([
    ['a form', form(['query_string', 'one@gone%20soon.txt'], [undefined, ''])],
    [
      'an encoded form',
      {
        method: 'POST',
        headers: withKey,
        body: new URLSearchParams({ query_string: 'one@gone%20soon.txt' }),
      },
    ],
  ])('takes the reference from %s', async (_name, request) => {
    await calls.server.files.add('/gone soon.txt', 'x');
    expect(await call('delete', request)).toMatchObject({
      status: 200,
      text: 'one@gone%20soon.txt',
    });
    expect((await call('stream/gone%20soon.txt', { headers: withKey })).status).toBe(404);
    expect((await call('delete', request)).status).toBe(404);
  });

  it.each<[string, Call, number, RegExp]>([
    ['no reference', form(['priority', '1']), 400, /^Missing parameter query_string$/],
    ['nothing', { method: 'POST', headers: withKey }, 400, /^Missing parameter query_string$/],
    ['a climbing reference', form(['query_string', 'one@../public.txt']), 400, /"\.\."/],
    ['a directory', form(['query_string', 'one@dir']), 409, /directory/],
    ['no key', { ...form(['query_string', 'one@public.txt']), headers: {} }, 401, /^Denied: /],
  ])('refuses %s', async (_name, request, status, text) => {
    const answer = await call('delete', request);
    expect(answer.status).toBe(status);
    expect(answer.text).toMatch(text);
    expect((await call('stream/public.txt')).status).toBe(200);
  });
});

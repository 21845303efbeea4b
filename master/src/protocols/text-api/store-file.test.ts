import { describe, expect, it } from 'vitest';
import { testKey } from '../testing/test-public-server.ts';
import { type Call, file, form, PlainCalls, withKey } from './testing/plain-calls.ts';

const calls = new PlainCalls();
const { call } = calls;

describe('store', () => {
  it('takes the form that its users send, and answers a reference', async () => {
    const stored = await call(
      'store',
      form(
        ['file', 'a video', 'C:\\Users\\me\\video.mp4'],
        ['filename', 'video.mp4'],
        [undefined, ''],
      ),
    );
    expect(stored).toMatchObject({ status: 200, text: 'one@video.mp4' });
    expect(stored.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    const shown = await call('stream/one@video.mp4');
    expect(shown).toMatchObject({ status: 200, text: 'a video' });
    expect(shown.headers.get('content-type')).toBe('video/mp4');
    expect(shown.headers.get('accept-ranges')).toBe('bytes');
  });

  it.each<[string, Call, number, string]>([
    ['no file', form(['filename', 'x']), 400, 'Missing Parameters'],
    [
      'a text in the place of the file',
      form(['file', 'text'], ['filename', 'x']),
      400,
      'Missing Parameters',
    ],
    ['no name', form(file()), 400, 'Missing Parameters'],
    ['an empty name', form(file(), ['filename', ' ']), 400, 'Missing Parameters'],
    ['nothing', form(), 400, 'Missing Parameters'],
    ['nothing with a name', form([undefined, 'x']), 400, 'Missing Parameters'],
    ['no form', { method: 'POST', headers: withKey, body: 'bytes' }, 400, 'Missing Parameters'],
    [
      'a wrong mode',
      form(file(), ['filename', 'x'], ['mode', 'secret']),
      400,
      'Invalid Mode: it is public or private.',
    ],
    [
      'a wrong mode before the file',
      form(['filename', 'x'], ['mode', 'no'], file()),
      400,
      'Invalid Mode: it is public or private.',
    ],
    ['a name that is taken', form(file(), ['filename', 'public.txt']), 409, 'Filename Taken'],
    [
      'a name that is taken, before the file',
      form(['filename', 'public.txt'], file()),
      409,
      'Filename Taken',
    ],
    ['the name of a directory', form(file(), ['filename', 'dir']), 409, 'Filename Taken'],
    [
      'an override that is not true',
      form(file(), ['filename', 'public.txt'], ['override', 'yes']),
      409,
      'Filename Taken',
    ],
  ])('refuses %s', async (_name, request, status, text) => {
    expect(await call('store', request)).toMatchObject({ status, text });
    expect(calls.server.files.staged.size).toBe(0);
  });

  it.each(['../x', 'a/../../x', '/etc/passwd', 'dir/', '..', 'a//b', './x', 'a\0b'])(
    'refuses the name %j wherever it stands',
    async (name) => {
      const puts = calls.server.files.puts.length;
      const after = await call('store', form(file(), ['filename', name], ['override', 'true']));
      const before = await call('store', form(['filename', name], file()));
      for (const { status, text } of [after, before]) {
        expect(status).toBe(400);
        expect(text).toMatch(/^[A-Z"][^{}]+\.$/);
      }
      for (const { path } of calls.server.files.puts.slice(puts)) expect(path).toBe('/source.bin');
      expect(calls.server.files.staged.size).toBe(0);
    },
  );

  it.each(['..', '../../x', '', 'C:\\', '\\\\host\\..'])(
    'lets the name %j of the part decide nothing',
    async (name) => {
      const filename = `safe ${name.length}.txt`;
      const stored = await call('store', form(['file', 'x', name || 'x'], ['filename', filename]));
      expect(stored).toMatchObject({ status: 200, text: `one@safe%20${name.length}.txt` });
    },
  );

  it.each([[{}], [{ 'shard-key': 'wrong' }], [{ authorization: 'Bearer wrong' }]])(
    'denies who has no key or a wrong one: %j',
    async (headers) => {
      const { body = '' } = form(file(), ['filename', 'denied.txt']);
      const type = { 'content-type': 'multipart/form-data; boundary=b0undary' };
      const denied = await call('store', {
        method: 'POST',
        headers: { ...headers, ...type },
        body,
      });
      expect(denied).toMatchObject({ status: 401, text: 'Denied' });
    },
  );

  it('overlooks fields that it does not know, empty ones, and blanks around the key', async () => {
    const { headers, body = '' } = form(
      ['a[b][c][d]', 'unknown'],
      file('odd'),
      ['mode', ''],
      ['override', ''],
      ['__proto__', 'x'],
      ['other', 'a file', 'other.txt'],
      ['filename', 'odd.txt'],
    );
    const answer = await calls.server.raw('POST /api/v1/store', {
      key: null,
      headers: [
        'Content-Type: multipart/form-data',
        `Content-Type: ${headers?.['content-type']}`,
        `SHARD-KEY:   ${testKey}  `,
      ],
      body: String(body),
    });
    expect([answer.status, answer.body.toString()]).toEqual([200, 'one@odd.txt']);
    expect((await call('stream/one@odd.txt')).text).toBe('odd');
  });

  it('replaces what is there when told to, and keeps a private file private', async () => {
    const fields = [file('first'), ['filename', 'again.txt'], ['mode', 'Private']] as const;
    expect((await call('store', form(...fields))).status).toBe(200);
    expect((await call('stream/again.txt')).status).toBe(401);
    const second = [file('second'), ['filename', 'again.txt'], ['mode', 'private']] as const;
    expect(await call('store', form(...second))).toMatchObject({ status: 409 });
    const stored = await call('store', form(...second, ['override', 'True']));
    expect(stored).toMatchObject({ status: 200, text: 'one@again.txt' });
    expect((await call('stream/again.txt')).status).toBe(401);
    expect((await call('stream/again.txt', { headers: withKey })).text).toBe('second');
  });

  it('says that there is no room', async () => {
    calls.server.files.faults.put = undefined;
    calls.server.files.faults.roomBytes = -1;
    const full = await call('store', form(file(), ['filename', 'full.txt']));
    calls.server.files.faults.roomBytes = Number.POSITIVE_INFINITY;
    expect(full.status).toBe(507);
    expect(full.text).toMatch(/room/);
  });

  it('refuses two files', async () => {
    const twice = await call('store', form(file('1'), file('2'), ['filename', 'twice.txt']));
    expect(twice.status).toBe(400);
    expect(twice.text).toContain('more than one file');
    await expect.poll(() => calls.server.files.staged.size).toBe(0);
  });

  it('takes its other methods for wrong', async () => {
    const wrong = await call('store', { headers: withKey });
    expect(wrong).toMatchObject({ status: 405 });
    expect(wrong.headers.get('allow')).toBe('POST');
    expect(wrong.headers.get('content-type')).toBe('text/plain; charset=utf-8');
  });
});

describe('names that say nothing to a shell', () => {
  it.each([
    'a b.txt',
    'ü&?#%41.txt',
    'me@home.txt',
    "it's $(x).txt",
    '100%.txt',
    'films/2026/x y.mp4',
  ])('of %s lead from the answer back to the file', async (name) => {
    const stored = await call('store', form(file(name), ['filename', name]));
    expect(stored.status).toBe(200);
    expect(stored.text).toMatch(/^one@[A-Za-z0-9%@._~/-]+$/);
    expect(await call(`stream/${stored.text}`)).toMatchObject({ status: 200, text: name });
    expect(await call('delete', form(['query_string', stored.text]))).toMatchObject({
      status: 200,
    });
  });
});

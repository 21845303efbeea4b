import type { FilePath, ListAnswer } from '@dfs/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestPublicServer } from '../testing/test-public-server.ts';

let server: TestPublicServer;
const names = ['plain.txt', 'with space', 'ø & <b>.html', '"quoted"', 'a:b', '100%', '#1?', 'x\ny'];

beforeAll(async () => {
  server = await new TestPublicServer().start();
  for (const name of names) await server.files.add(`/odd/${name}`, name);
  await server.files.add('/odd/below/deep.txt', 'deep');
  for (let n = 0; n < 2_500; n += 1) {
    await server.files.add(`/many/${String(n).padStart(4, '0')}`, 'x');
  }
  await server.files.makeDirectory('/empty' as FilePath);
});
afterAll(() => server.stop());

const json = async (path: string, headers: Record<string, string> = {}) => {
  const answer = await server.fetch(path, { headers: { accept: 'application/json', ...headers } });
  return { status: answer.status, body: (await answer.json()) as ListAnswer };
};
const page = async (path: string) => {
  const answer = await server.fetch(path, { headers: { accept: 'text/html' } });
  return { answer, html: await answer.text() };
};
const linksOf = (html: string) => [...html.matchAll(/<a href="([^"]*)">/g)].map(([, link]) => link);

describe('a listing in JSON', () => {
  it('gives every entry with what there is to know, by the bytes of the name', async () => {
    const { body } = await json('/fs/odd/');
    expect(body.path).toBe('/odd');
    const sorted = [...names, 'below'].sort((a, b) =>
      Buffer.compare(Buffer.from(a), Buffer.from(b)),
    );
    expect(body.entries.map(({ name }) => name)).toEqual(sorted);
    expect(body.entries.find(({ name }) => name === 'below')).toEqual({
      name: 'below',
      kind: 'directory',
      modified: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      public: false,
    });
    expect(body.entries.find(({ name }) => name === 'plain.txt')).toEqual({
      name: 'plain.txt',
      kind: 'file',
      modified: expect.stringMatching(/Z$/),
      public: false,
      id: expect.any(String),
      size: 9,
      md5: expect.stringMatching(/^[0-9a-f]{32}$/),
      contentType: 'application/octet-stream',
    });
    expect(body).not.toHaveProperty('next');
  });

  it('comes in pages that together are the whole', async () => {
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const query = after === undefined ? '' : `&after=${encodeURIComponent(after)}`;
      const { body } = await json(`/fs/many/?limit=700${query}`);
      expect(body.entries.length).toBeLessThanOrEqual(700);
      seen.push(...body.entries.map(({ name }) => name));
      after = body.next;
    } while (after !== undefined);
    expect(seen.length).toBe(2_500);
    expect(new Set(seen).size).toBe(2_500);
  });

  it('holds a thousand entries unless asked for others', async () => {
    expect((await json('/fs/many/')).body.entries.length).toBe(1_000);
    expect((await json('/fs/many/?limit=10000')).body.entries.length).toBe(2_500);
  });

  it('is one answer however many runs it is sent in, and says where it was cut', async () => {
    const { body } = await json('/fs/many/?limit=2200');
    expect(body).toEqual({
      path: '/many',
      entries: expect.any(Array),
      usage: { path: '/many', files: 2_500, directories: 0, bytes: expect.any(Number) },
      next: '2199',
    });
    const names = body.entries.map(({ name }) => name);
    expect(names).toEqual(Array.from({ length: 2_200 }, (_, n) => String(n).padStart(4, '0')));
    const head = await server.fetch('/fs/many/?limit=2200&format=json', { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
  });

  it('needs no slash at the end of the address', async () => {
    expect((await json('/fs/empty')).body).toMatchObject({ path: '/empty', entries: [] });
    expect((await json('/fs')).body.path).toBe('/');
  });

  it.each([
    ['application/json', 'json'],
    ['application/json;q=0.9, text/html;q=0.5', 'json'],
    ['text/html, application/json;q=0.9', 'html'],
    ['*/*', 'html'],
    ['image/png', 'html'],
    ['text/html,application/xhtml+xml,*/*;q=0.8', 'html'],
  ])('or as a page: %s asks for %s', async (accept, format) => {
    const answer = await server.fetch('/fs/empty/', { headers: { accept } });
    expect(answer.headers.get('content-type')).toMatch(format);
    expect(answer.headers.get('vary')).toBe('Accept');
    await answer.text();
  });

  it('is had by the address alone too', async () => {
    const answer = await server.fetch('/fs/empty?format=json', {
      headers: { accept: 'text/html' },
    });
    expect(((await answer.json()) as ListAnswer).path).toBe('/empty');
  });
});

describe('a listing as a page', () => {
  it('links every entry so that it is found again, and shows it as it is', async () => {
    const { html } = await page('/fs/odd/');
    const links = linksOf(html).filter((link) => link !== '/fs/');
    expect(links.length).toBe(names.length + 1);
    for (const link of links) {
      const target = new URL(link ?? '', `${server.url}/fs/odd/`);
      const answer = await server.fetch(`${target.pathname}${target.search}`);
      expect(answer.status).toBe(200);
      const body = await answer.text();
      if (link !== 'below/') expect(names).toContain(body);
    }
    expect(html).toContain('ø &amp; &lt;b&gt;.html');
    expect(html).not.toContain('<b>.html');
    expect(html).toContain('&quot;quoted&quot;');
  });

  it('leads up, but not above the root', async () => {
    expect(linksOf((await page('/fs/odd/below/')).html)[0]).toBe('/fs/odd/');
    expect(linksOf((await page('/fs/odd/')).html)[0]).toBe('/fs/');
    expect(linksOf((await page('/fs/')).html)).not.toContain('../');
  });

  it('holds all of a long directory, or leads on where it is cut', async () => {
    expect(linksOf((await page('/fs/many/')).html).length).toBe(2_501);
    const first = linksOf((await page('/fs/many/?limit=1200')).html);
    expect(first.at(-1)).toBe('?after=1199');
    expect(linksOf((await page('/fs/many/?after=1199')).html)[1]).toBe('1200');
  });

  it('runs no script, whatever the names are', async () => {
    const { answer } = await page('/fs/odd/');
    const policy = answer.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain('unsafe');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
  });

  it('lives at the address with a slash', async () => {
    const answer = await server.fetch('/fs/odd/below?limit=2');
    expect([answer.status, answer.headers.get('location')]).toEqual([
      301,
      '/fs/odd/below/?limit=2',
    ]);
    expect((await server.fetch('/fs')).headers.get('location')).toBe('/fs/');
  });
});

describe('a listing without a key', () => {
  const stranger = async (path: string) => {
    const answer = await fetch(`${server.url}${path}`, { redirect: 'manual' });
    return { status: answer.status, body: await answer.text() };
  };

  it('is given of a public directory, and shows nothing private', async () => {
    await server.files.add('/shop/price.txt', 'public');
    for (const name of ['a-secret', 'm-secret', 'z-secret']) {
      await server.files.add(`/shop/${name}`, 'private');
      await server.files.setVisibility(`/shop/${name}` as FilePath, 'private');
    }
    await server.files.setVisibility('/shop' as FilePath, 'public');
    for (const path of ['/fs/shop/', '/fs/shop/?format=json', '/fs/shop/?format=json&limit=1']) {
      const { status, body } = await stranger(path);
      expect(status).toBe(200);
      expect(body).toContain('price.txt');
      expect(body).not.toContain('secret');
      expect(body).not.toContain('<form');
    }
  });

  it('is refused of any other, in the same words as of nothing', async () => {
    const messages = [];
    for (const path of ['/fs/', '/fs/odd/', '/fs/odd', '/fs/nothing/', '/fs/odd/plain.txt/']) {
      const { status, body } = await stranger(path);
      expect(status).toBe(401);
      messages.push(JSON.parse(body).error.message);
    }
    expect(new Set(messages).size).toBe(1);
  });

  it('pages to the end though nearly all is private', async () => {
    await server.files.setVisibility('/many' as FilePath, 'public');
    for (let n = 0; n < 2_499; n += 1) {
      await server.files.setVisibility(
        `/many/${String(n).padStart(4, '0')}` as FilePath,
        'private',
      );
    }
    const { body } = await stranger('/fs/many/?format=json&limit=10');
    const answer = JSON.parse(body) as ListAnswer;
    expect(answer.entries.map(({ name }) => name)).toEqual(['2499']);
    expect(answer).not.toHaveProperty('next');
  });
});

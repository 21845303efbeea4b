import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Browser, isBrowserInstalled } from './harness/browser.ts';
import { contentOf } from './harness/content.ts';
import { openHttp, sendHttp } from './harness/http.ts';
import { type SeparatePrograms, startSeparatePrograms } from './harness/separate-programs.ts';
import { urlPathOf } from './harness/store.ts';
import { isVideoMakerInstalled, makeVideo } from './harness/video-file.ts';
import { waitUntil } from './harness/wait-until.ts';

const canShowVideos = isBrowserInstalled && isVideoMakerInstalled;
const videoSeconds = 1_000;

/** How far a source runs ahead of a reader: the buffers of two connections, 10 MB each at most on Linux, and of the programs between. */
const aheadMaxBytes = 24 * 2 ** 20;

/** Says in the title of its page whether scripts run, and whose they are. */
const script = `document.title = 'ran as ' + self.origin;`;
const page = `<!doctype html><html><title>quiet</title><script>${script}</script></html>`;
const xhtml = `<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title>quiet</title><script>${script}</script></head></html>`;
const drawing = `<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><title>quiet</title><script>${script}</script></svg>`;
/** Name, content, and the type that its sender claims, if any. */
const uploads: [string, string, string?][] = [
  ['page.html', page],
  ['page.xhtml', xhtml],
  ['drawing.svg', drawing],
  ['text.txt', page],
  ['film.mp4', page],
  ['typed', page, 'text/html'],
  ['document', xhtml, 'video/x+xml'],
  ['listed', page, 'video/mp4; a=b, text/html'],
];

/** Names of files, and under which names they are saved. */
const downloads = [
  ['日本 😀.mp4', '日本 😀.mp4'],
  ["Zoë's (1)*.txt", "Zoë's (1)_.txt"],
  ['semi;colon=x,y.txt', 'semi;colon=x,y.txt'],
  ['a "b" \\ %41.txt', 'a _b_ _ %41.txt'],
] as const;

let store: SeparatePrograms;
/** The addresses by which users reach the store. */
const doors = [
  ['the master', () => store.url],
  ['the node that holds it', () => store.node('node-1').publicUrl ?? ''],
  ['a node that holds nothing', () => store.node('node-2').publicUrl ?? ''],
] as const;
let videoBytes = 0;

beforeAll(async () => {
  store = await startSeparatePrograms({
    ...{ nodes: 1, copies: 1, publicNodes: true, replicator: false },
    // However much is read, what nobody asked a node for it does not have.
    environment: { DFS_NODE_PUBLIC_URL: 'self', DFS_HOT_READS: '100000' },
  });
  const query = '?mode=public';
  await store.store('/long.bin', contentOf('long', 3 * aheadMaxBytes), { query });
  for (const [name, content, type] of uploads) {
    const headers = type === undefined ? {} : { 'Content-Type': type };
    await store.store(`/uploads/${name}`, content, { query, headers });
    await store.store(`/private/${name}`, content, { headers });
  }
  for (const [name] of downloads) await store.store(`/names/${name}`, name, { query });
  if (canShowVideos) {
    const video = makeVideo(videoSeconds);
    videoBytes = video.length;
    await store.store('/films/long.mp4', video, { query });
    await store.store('/private/short.mp4', makeVideo(20));
  }
  // It comes too late to be given any of them.
  await store.startNode({ name: 'node-2', isPublic: true });
});
afterAll(() => store?.dispose());

/** A signed link to a file, without the host. */
async function linkTo(path: string): Promise<string> {
  const shared = await store.send({
    method: 'POST',
    path: `/api/v1/shares${path}`,
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ seconds: 60 }),
  });
  expect(shared.status, shared.text).toBeLessThan(300);
  const { pathname, search } = new URL(shared.json<{ url: string }>().url);
  return pathname + search;
}

/** What a node counts of its requests. */
class Source {
  readonly #url: string;

  constructor(node: string) {
    this.#url = `http://127.0.0.1:${store.node(node).port}`;
  }

  /** Bytes that it has handed to the operating system: of blobs so far, and by its public listener in requests that have ended. */
  async sentBytes(): Promise<number> {
    const metric = await this.#metrics();
    const blobs = metric('dfs_node_bytes_total{kind="get"}');
    return blobs + metric('dfs_node_public_bytes_total{direction="out"}');
  }

  /** What it sent since then; resolves once it has counted something. */
  sentSince = (before: number) =>
    waitUntil('a source that sent something', async () => (await this.sentBytes()) - before);

  /** Resolves once it serves so many requests at most. */
  waitUntilServing = (count: number) =>
    waitUntil(
      `a source that serves ${count}`,
      // The one that asks is counted, too.
      async () => (await this.#metrics())('dfs_node_requests') <= count + 1,
      { withinMs: 5_000, everyMs: 10 },
    );

  async #metrics(): Promise<(name: string) => number> {
    const headers = { Authorization: `Bearer ${store.key}` };
    const { status, text } = await sendHttp(this.#url, { path: '/metrics', headers });
    expect(status).toBe(200);
    const lines = text.split('\n');
    // A counter that counted nothing yet has no line.
    return (name) =>
      Number(lines.find((line) => line.startsWith(`${name} `))?.slice(name.length) ?? 0);
  }
}

describe('a range whose reader leaves', () => {
  it.each(doors)('is read no further at the source, from %s', async (_door, url) => {
    const source = new Source('node-1');
    await source.waitUntilServing(0);
    const before = await source.sentBytes();
    const answer = await openHttp(url(), {
      path: '/fs/long.bin',
      headers: { Range: 'bytes=1000-' },
    });
    expect(answer.statusCode).toBe(206);
    for await (const _chunk of answer) break;
    answer.destroy();
    await source.waitUntilServing(0);
    const sentBytes = await source.sentSince(before);
    expect(sentBytes).toBeGreaterThan(0);
    expect(sentBytes).toBeLessThan(aheadMaxBytes);
  });
});

describe.skipIf(!isBrowserInstalled)('a browser', () => {
  let browser: Browser;
  /** Another site: shows what its address asks for. */
  const site = createServer((request, response) => {
    response.setHeader('Content-Type', 'text/html');
    response.end(decodeURIComponent(request.url?.split('?')[1] ?? ''));
  });
  const siteWith = (html: string) =>
    `http://127.0.0.1:${(site.address() as AddressInfo).port}/?${encodeURIComponent(html)}`;
  beforeAll(async () => {
    browser = await Browser.start();
    await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
  });
  afterAll(async () => {
    await browser?.close();
    site.close();
  });

  describe.skipIf(!isVideoMakerInstalled).each(doors)('that gets a video from %s', (_door, url) => {
    it('plays it, seeks to the middle and back, and costs the source no more than it shows', async () => {
      const source = new Source('node-1');
      await source.waitUntilServing(0);
      const atFirst = await source.sentBytes();
      const tab = await browser.open(
        siteWith(`<video muted preload="metadata" src="${url()}/fs/films/long.mp4"></video>`),
      );
      expect(await tab.evaluate(playedUntil(1))).toBeGreaterThanOrEqual(1);
      for (const second of [videoSeconds / 2, 5, videoSeconds * 0.75]) {
        const before = await source.sentBytes();
        expect(await tab.evaluate(shownAt(second))).toBeCloseTo(second, 0);
        // The range that was played before is given up.
        await source.waitUntilServing(1);
        expect((await source.sentBytes()) - before).toBeLessThan(aheadMaxBytes);
      }
      const before = await source.sentBytes();
      await tab.close();
      await source.waitUntilServing(0);
      expect((await source.sentBytes()) - before).toBeLessThan(aheadMaxBytes);
      expect(await source.sentSince(atFirst)).toBeGreaterThan(0);
      expect(videoBytes).toBeGreaterThan(3 * aheadMaxBytes);
    });

    it.each([
      ['the file itself', '/fs/films/long.mp4'],
      ['its stream', '/api/v1/stream/node-1@films/long.mp4'],
    ])('plays it when it is pointed at %s', async (_what, target) => {
      const tab = await browser.open(url() + target);
      expect(await tab.evaluate(playedUntil(1))).toBeGreaterThanOrEqual(1);
      expect(await tab.evaluate(shownAt(videoSeconds / 2))).toBeCloseTo(videoSeconds / 2, 0);
      await tab.close();
    });
  });

  it.skipIf(!isVideoMakerInstalled)('plays a private video by a link', async () => {
    const link = await linkTo('/private/short.mp4');
    for (const [, url] of doors) {
      const refused = await sendHttp(url(), { path: link.replace(/\?.*/, '') });
      expect(refused.status).toBe(401);
      const tab = await browser.open(url() + link);
      expect(await tab.evaluate(playedUntil(0.5))).toBeGreaterThanOrEqual(0.5);
      expect(await tab.evaluate(shownAt(15))).toBeCloseTo(15, 0);
      await tab.close();
    }
  });

  it.each(doors)('saves files from %s under their names', async (_door, url) => {
    for (const [name, saved] of downloads) {
      const address = `${url()}/fs${urlPathOf(`/names/${name}`)}?download=1`;
      expect(await browser.nameOfDownload(address)).toBe(saved);
    }
  });

  describe('that opens what somebody uploaded', () => {
    it.each(uploads)('runs no script of %s', async (name) => {
      const { id } = await store.stat(`/uploads/${name}`);
      const redirected = await store.get(`/uploads/${name}`, {}, '?redirect=1');
      expect(redirected.status).toBe(307);
      const link = await linkTo(`/private/${name}`);
      const [master, holder, other] = doors.map(([, url]) => url());
      const isWrong = ({ title, text }: { title: string; text: string }) =>
        /^ran/.test(title) || /"error"/.test(text);
      for (const url of [
        redirected.headers.location ?? '',
        `${master}${link}`,
        `${holder}${link}`,
        `${master}/fs/uploads/${name}`,
        `${master}/api/v1/files/${id}`,
        `${other}/fs/uploads/${name}`,
        `${holder}/api/v1/stream/node-1@uploads/${name}`,
      ]) {
        const tab = await browser.open(url);
        const shown = await tab.evaluate<{ title: string; text: string }>(
          '({ title: document.title, text: document.documentElement.textContent })',
        );
        expect([url, isWrong(shown), shown]).toEqual([url, false, shown]);
        if (name === 'page.html') expect(shown.title).toBe('quiet');
        await tab.close();
      }
    });

    it('shows text with all its letters', async () => {
      const text = 'Größe, 日本, 😀';
      await store.store('/uploads/letters.txt', text, { query: '?mode=public' });
      const tab = await browser.open(`${store.url}/fs/uploads/letters.txt`);
      expect(await tab.evaluate('document.body.textContent')).toBe(text);
      await tab.close();
    });

    it('would run it elsewhere', async () => {
      const tab = await browser.open(siteWith(page));
      expect(await tab.evaluate('document.title')).toMatch(/^ran as http/);
      await tab.close();
    });
  });
});

/** Plays; gives the time of the first picture that is shown at this second or later. */
const playedUntil = (second: number) => `(async () => {
  const video = document.querySelector('video');
  await video.play();
  ${pictureThat(`time >= ${second}`)}
})()`;

/** Goes to this second; gives the time of the first picture that is shown there. */
const shownAt = (second: number) => `(async () => {
  const video = document.querySelector('video');
  video.currentTime = ${second};
  ${pictureThat(`Math.abs(time - ${second}) < 0.5`)}
})()`;

const pictureThat = (condition: string) => `return await new Promise((resolve, reject) => {
    video.addEventListener('error', () => reject(new Error(video.error.message)));
    const look = (_now, { mediaTime: time }) =>
      ${condition} ? resolve(time) : video.requestVideoFrameCallback(look);
    video.requestVideoFrameCallback(look);
  });`;

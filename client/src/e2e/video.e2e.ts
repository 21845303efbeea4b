import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Browser, isBrowserInstalled } from './harness/browser.ts';
import { contentOf } from './harness/content.ts';
import { sendHttp } from './harness/http.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import { isVideoMakerInstalled, makeVideo } from './harness/video-file.ts';
import { waitUntil } from './harness/wait-until.ts';

let cluster: LocalCluster;
beforeAll(async () => {
  cluster = await startCluster({ nodes: 2, copies: 1 });
});
afterAll(() => cluster?.dispose());

/** What one node counts of its requests. */
class Source {
  readonly #url: string;

  constructor(node: string) {
    this.#url = cluster.node(node).url;
  }

  /** Bytes of blobs that it has handed to the operating system so far. */
  sentBytes = () => this.#metric('dfs_node_bytes_total{kind="get"}');

  /** Resolves once it serves so many requests at most. */
  waitUntilServing = (count: number) =>
    waitUntil(
      `a source that serves ${count}`,
      // The one that asks is counted, too.
      async () => (await this.#metric('dfs_node_requests')) <= count + 1,
      { withinMs: 5_000, everyMs: 10 },
    );

  async #metric(name: string): Promise<number> {
    const headers = { Authorization: `Bearer ${cluster.key}` };
    const { text } = await sendHttp(this.#url, { path: '/metrics', headers });
    const line = text.split('\n').find((each) => each.startsWith(`${name} `));
    expect(line, name).toBeDefined();
    return Number(line?.slice(name.length));
  }
}

/** How far a source runs ahead of a reader: the buffers of two connections, 10 MB each at most on Linux, and of the programs between. */
const aheadMaxBytes = 24 * 2 ** 20;

describe('a range whose reader leaves', () => {
  it('is read no further at the source', async () => {
    const sizeBytes = 100 * 2 ** 20;
    const { primary } = await cluster.store('/long.bin', contentOf('long', sizeBytes));
    const source = new Source(primary.id);
    const before = await source.sentBytes();
    const answer = await cluster.open({
      path: '/fs/long.bin',
      headers: { Range: 'bytes=1000-' },
    });
    for await (const _chunk of answer) break;
    answer.destroy();
    await source.waitUntilServing(0);
    const sentBytes = (await source.sentBytes()) - before;
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

  describe.skipIf(!isVideoMakerInstalled)('that shows a video', () => {
    const seconds = 1_000;
    const path = '/fs/films/long.mp4';
    let source: Source;
    let sizeBytes: number;
    beforeAll(async () => {
      const video = makeVideo(seconds);
      sizeBytes = video.length;
      const query = '?mode=public';
      const { primary, contentType } = await cluster.store('/films/long.mp4', video, { query });
      expect(contentType).toBe('video/mp4');
      source = new Source(primary.id);
    });

    it('plays it, seeks to the middle and back, and takes no more than it shows', async () => {
      const tab = await browser.open(
        siteWith(`<video muted preload="metadata" src="${cluster.url}${path}"></video>`),
      );
      expect(await tab.evaluate('document.querySelector("video").muted')).toBe(true);
      expect(await tab.evaluate(playedUntil(1))).toBeGreaterThanOrEqual(1);
      for (const second of [seconds / 2, 5, seconds * 0.75]) {
        const before = await source.sentBytes();
        expect(await tab.evaluate(shownAt(second))).toBeCloseTo(second, 0);
        // The range that was played before is given up.
        await source.waitUntilServing(1);
        const sentBytes = (await source.sentBytes()) - before;
        expect(sentBytes).toBeGreaterThan(0);
        expect(sentBytes).toBeLessThan(aheadMaxBytes);
      }
      const before = await source.sentBytes();
      await tab.close();
      await source.waitUntilServing(0);
      expect((await source.sentBytes()) - before).toBeLessThan(aheadMaxBytes);
      expect(sizeBytes).toBeGreaterThan(3 * aheadMaxBytes);
    });

    it('plays it when it is pointed at the file itself', async () => {
      const tab = await browser.open(`${cluster.url}${path}`);
      expect(await tab.evaluate(playedUntil(1))).toBeGreaterThanOrEqual(1);
      expect(await tab.evaluate(shownAt(seconds / 2))).toBeCloseTo(seconds / 2, 0);
      await tab.close();
      await source.waitUntilServing(0);
    });
  });

  describe('that opens what somebody uploaded', () => {
    /** Says in the title of its page whether scripts run, and whose they are. */
    const script = `document.title = 'ran as ' + self.origin;`;
    const xml = '<?xml version="1.0"?>';
    const page = `<!doctype html><html><title>quiet</title><script>${script}</script></html>`;
    const xhtml = `<html xmlns="http://www.w3.org/1999/xhtml"><head><title>quiet</title><script>${script}</script></head></html>`;
    const drawing = `<svg xmlns="http://www.w3.org/2000/svg"><title>quiet</title><script>${script}</script></svg>`;

    it.each([
      ['page.html', undefined, page],
      ['page.xhtml', undefined, `${xml}${xhtml}`],
      ['drawing.svg', undefined, `${xml}${drawing}`],
      ['no.txt', undefined, page],
      ['film.mp4', undefined, page],
      ['typed', 'text/html', page],
      ['film', 'video/x+xml', `${xml}${xhtml}`],
      ['listed', 'video/mp4; a=b, text/html', page],
    ])('runs no script of %s (%s)', async (name, type, content) => {
      const headers = type === undefined ? {} : { 'Content-Type': type };
      const { id } = await cluster.store(`/uploads/${name}`, content, {
        query: '?mode=public',
        headers,
      });
      const redirected = await cluster.get(`/uploads/${name}`, {}, '?redirect=1');
      expect(redirected.status).toBe(307);
      for (const url of [
        `${cluster.url}/fs/uploads/${name}`,
        `${cluster.url}/api/v1/files/${id}`,
        redirected.headers.location ?? '',
      ]) {
        const tab = await browser.open(url);
        const title = await tab.evaluate<string>('document.title');
        expect([url, title]).toEqual([url, expect.not.stringMatching(/^ran/)]);
        await tab.close();
      }
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

import { once } from 'node:events';
import { type FilePath, StoreError } from '@dfs/shared';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WalkedEntry } from '../../metadata/working-tree.ts';
import { RawConnection } from '../testing/raw-http.ts';
import { TestPublicServer, testKey } from '../testing/test-public-server.ts';
import { shownPath } from './find-entries.ts';

let server: TestPublicServer;
beforeEach(async () => {
  server = await new TestPublicServer().start();
});
afterEach(() => server.stop());

/** Has the store walk without end, and counts what it was asked for. */
function walkForEver(): { pages: number; isOver: boolean } {
  const walk = { pages: 0, isOver: false };
  server.files.walk = async function* () {
    try {
      for (;;) {
        walk.pages += 1;
        yield Array.from({ length: 100 }, (_, n) =>
          entryAt(`/${walk.pages}/${n}${'x'.repeat(200)}`),
        );
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      walk.isOver = true;
    }
  };
  return walk;
}

const entryAt = (path: string): WalkedEntry => ({
  ...(server.files.findEntry('/' as FilePath) as WalkedEntry),
  path: path as FilePath,
  kind: 'file',
  isPublic: false,
});

const request = `GET /find/ HTTP/1.1\r\nHost: 127.0.0.1\r\nSHARD-KEY: ${testKey}\r\n\r\n`;
const settled = async (look: () => number) => {
  for (let last = -1; last !== look(); ) {
    last = look();
    for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }
};

describe('a walk that is streamed', () => {
  it('is read no faster than the reader takes it, and ends when they leave', async () => {
    const walk = walkForEver();
    const connection = new RawConnection(server.port);
    connection.socket.pause();
    connection.write(request);
    await once(connection.socket, 'connect');
    while (walk.pages === 0) await new Promise((resolve) => setImmediate(resolve));
    await settled(() => walk.pages);
    const stalledAt = walk.pages;
    // Sockets hold some MiB; what was read besides is one page.
    expect(stalledAt * 100 * 205).toBeLessThan(64 * 2 ** 20);
    connection.socket.resume();
    while (walk.pages < stalledAt + 10) await new Promise((resolve) => setImmediate(resolve));
    connection.destroy();
    while (!walk.isOver) await new Promise((resolve) => setImmediate(resolve));
    expect(walk.isOver).toBe(true);
  });

  it('that fails in the middle is cut, so that nobody takes it for the whole', async () => {
    server.files.walk = async function* () {
      yield [entryAt('/a')];
      throw new Error('The disk broke.');
    };
    const connection = new RawConnection(server.port);
    connection.write(request);
    // The last chunk of a whole answer is empty.
    expect((await connection.closed()).toString()).not.toMatch(/\r\n0\r\n\r\n$/);
  });

  it('that fails before its first page says why', async () => {
    server.files.walk = async function* () {
      yield await Promise.reject<[]>(new StoreError('not-found', 'It went.'));
    };
    expect((await server.raw('GET /find/')).status).toBe(404);
  });

  it('shows no private name to a reader without a key', async () => {
    await server.files.add('/open/shown', 'x');
    await server.files.add('/open/hidden', 'x');
    await server.files.add('/open/closed/deep', 'x');
    await server.files.setVisibility('/open' as FilePath, 'public');
    await server.files.setVisibility('/open/hidden' as FilePath, 'private');
    await server.files.setVisibility('/open/closed' as FilePath, 'private');
    const answer = await fetch(`${server.url}/find/open/?format=json`);
    expect(answer.status).toBe(200);
    const lines = (await answer.text()).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line).path)).toEqual(['/open/shown']);
    const listing = await fetch(`${server.url}/fs/open/?format=json`);
    expect(await listing.json()).not.toHaveProperty('usage');
  });
});

describe('a path as one line', () => {
  it.each([
    ['/plain name.txt', '/plain name.txt'],
    ['/ä/日本', '/ä/日本'],
    ['/a\nb', '/a%0Ab'],
    ['/a\r\u001b[2J\u007f', '/a%0D%1B[2J%7F'],
    ['/a\u0085\u2028b', '/a%C2%85%E2%80%A8b'],
    ['/100%', '/100%'],
    ['/5%/x', '/5%/x'],
    ['/a%0Ab', '/a%250Ab'],
    ['/a%25', '/a%2525'],
  ])('%j is %s, and decoding gives it back', (path, shown) => {
    expect(shownPath(path)).toBe(shown);
    const decoded = shown.replace(/(?:%[0-9A-F]{2})+/g, decodeURIComponent);
    expect(decoded).toBe(path);
  });
});

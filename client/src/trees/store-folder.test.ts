import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { FilePath, FoundEntry } from '@dfs/shared';
import { afterEach, describe, expect, it } from 'vitest';
import { DfsClient } from '../sdk/dfs-client.ts';
import { StoreFolder } from './store-folder.ts';
import type { RemoteEntry } from './tree-entry.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A folder of a port that answers as told. */
async function folderOf(
  answer: (line: string, response: ServerResponse, count: number) => void,
  { mayBeMissing = false } = {},
) {
  let count = 0;
  const server = createServer((request, response) => {
    request.resume();
    count += 1;
    answer(`${request.method} ${request.url}`, response, count);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const client = new DfsClient({ url: `http://127.0.0.1:${port}`, key: undefined });
  return new StoreFolder({ client, top: '/top' as FilePath, mayBeMissing, say: undefined });
}

const lineOf = (path: string) => {
  const entry = { path: `/top/${path}`, kind: 'file', modified: '2026-01-02T03:04:05.678Z' };
  return `${JSON.stringify({ ...entry, size: 3, md5: 'm' } as unknown as FoundEntry)}\n`;
};

async function walked(folder: StoreFolder): Promise<string[]> {
  const entries: RemoteEntry[] = [];
  for await (const entry of folder.walk()) entries.push(entry);
  return entries.map(({ path }) => path);
}

const refuse = (response: ServerResponse, status: number, code: string) =>
  response.writeHead(status).end(JSON.stringify({ error: { code, message: 'No.' } }));

describe('a folder of the store', () => {
  const paths = ['a', 'a/b', 'a-b', 'b'];

  it('is walked with paths below it, and the facts of each', async () => {
    const folder = await folderOf((_line, response) => response.end(paths.map(lineOf).join('')));
    const { value: first } = await folder.walk().next();
    expect(first).toEqual({
      path: 'a',
      kind: 'file',
      sizeBytes: 3,
      md5: 'm',
      modifiedMs: Date.parse('2026-01-02T03:04:05.678Z'),
    });
  });

  it('is walked on where a listing broke off, also when the next one has changed', async () => {
    const folder = await folderOf((_line, response, count) => {
      if (count === 1) {
        response.write(lineOf('a') + lineOf('a/b'), () => response.destroy());
        return;
      }
      response.end(['a', 'a/0', 'a-b', 'b'].map(lineOf).join(''));
    });
    expect(await walked(folder)).toEqual(paths);
  });

  it('is never taken for empty when its listing is cut short or refused', async () => {
    const cut = await folderOf((_line, response, count) => {
      if (count > 1) refuse(response, 403, 'forbidden');
      else response.write(lineOf('a'), () => response.destroy());
    });
    await expect(walked(cut)).rejects.toMatchObject({ kind: 'forbidden' });
    const gone = await folderOf(
      (_line, response, count) => {
        if (count > 1) refuse(response, 404, 'not-found');
        else response.write(lineOf('a'), () => response.destroy());
      },
      { mayBeMissing: true },
    );
    await expect(walked(gone)).rejects.toMatchObject({ kind: 'not-found' });
  });

  it('that is missing is empty only where it may be missing', async () => {
    const missing = (_line: string, response: ServerResponse) =>
      void refuse(response, 404, 'not-found');
    expect(await walked(await folderOf(missing, { mayBeMissing: true }))).toEqual([]);
    await expect(walked(await folderOf(missing))).rejects.toMatchObject({ kind: 'not-found' });
  });

  it('deletes a file only with the content that was seen, and only if it is one', async () => {
    const heard: string[] = [];
    const folder = await folderOf((line, response) => {
      heard.push(`${line} ${response.req.headers['if-match']}`);
      refuse(response, 404, 'not-found');
    });
    await folder.removeFile('a b', 'm');
    expect(heard).toEqual(['DELETE /fs/top/a%20b?expect=file "m"']);
  });

  it('says that a directory is not empty, and that one that is gone is gone', async () => {
    const folder = await folderOf((line, response) =>
      line.includes('full')
        ? refuse(response, 409, 'conflict')
        : refuse(response, 404, 'not-found'),
    );
    expect([await folder.removeDirectory('full'), await folder.removeDirectory('gone')]).toEqual([
      false,
      true,
    ]);
  });
});

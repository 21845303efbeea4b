import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { temporaryDirectory } from '@dfs/shared/testing';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { runCommand } from '../program/run-command.ts';
import { Session } from '../session.ts';

const directories = ['/from', '/whole', '/to'];
const partial = `<?xml version="1.0" encoding="utf-8"?>
<D:multistatus xmlns:D="DAV:"><D:response><D:href>/fs/to/from/sub/b%20c</D:href><D:status>HTTP/1.1 507 Insufficient Storage</D:status>
<D:responsedescription>No room &lt;left&gt;.</D:responsedescription></D:response></D:multistatus>`;

let answer207: string;
let copied: unknown[];
const closers: (() => unknown)[] = [];

beforeEach(() => {
  answer207 = partial;
  copied = [];
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const close of closers.splice(0)) await close();
});

/** Runs `dfs` against a store in which nothing of `/from` but a part can be copied. Gives the exit code, and what was printed and said. */
async function dfs(...args: string[]) {
  const server = createServer((request, response) => {
    const { status, body } = answerTo(request);
    response.writeHead(status).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const state = await temporaryDirectory();
  closers.push(
    () => server.closeAllConnections(),
    () => server.close(),
    state.remove,
  );
  const { port } = server.address() as AddressInfo;
  const session = new Session({
    DFS_URL: `http://127.0.0.1:${port}`,
    DFS_KEY: 'secret',
    XDG_STATE_HOME: state.path,
  });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      texts[name] += String(text);
      return true;
    });
  }
  const code = await runCommand(args, session);
  vi.restoreAllMocks();
  return { code, ...texts };
}

function answerTo({ method, url = '', headers }: IncomingMessage) {
  if (method === 'COPY') {
    copied.push(headers['destination']);
    return url === '/fs/from' ? { status: 207, body: answer207 } : { status: 201, body: '' };
  }
  const path = /^\/api\/v1\/stat(.*)$/.exec(url)?.[1];
  return path !== undefined && directories.includes(path)
    ? { status: 200, body: JSON.stringify({ path, kind: 'directory' }) }
    : {
        status: 404,
        body: JSON.stringify({ error: { code: 'not-found', message: 'Nothing is there.' } }),
      };
}

it('names the part of a directory that could not be copied, goes on, and fails', async () => {
  const { code, stdout, stderr } = await dfs('cp', '-rv', '/from', '/whole', '/to');
  expect(copied).toEqual(['/fs/to/from', '/fs/to/whole']);
  expect(stderr).toBe("dfs cp: cannot copy to '/to/from/sub/b c': No room <left>.\n");
  expect(stdout).toBe("'/whole' -> '/to/whole'\n");
  expect(code).toBe(1);
});

it('lists for programs only what was copied whole', async () => {
  const { code, stdout, stderr } = await dfs('cp', '-r', '--json', '/from', '/whole', '/to');
  expect(JSON.parse(stdout)).toEqual([{ from: '/whole', to: '/to/whole' }]);
  expect(JSON.parse(stderr)).toMatchObject({
    error: { code: 'internal', message: expect.stringContaining("'/to/from/sub/b c'") },
  });
  expect(code).toBe(1);
});

it('fails also where the answer does not tell which part', async () => {
  answer207 = '<D:multistatus xmlns:D="DAV:"/>';
  const { code, stdout, stderr } = await dfs('cp', '-r', '--json', '/from', '/whole', '/to');
  expect(JSON.parse(stdout)).toEqual([{ from: '/whole', to: '/to/whole' }]);
  expect(JSON.parse(stderr).error.message).toMatch(
    /cannot copy '\/from' to '\/to\/from': .*only a part/,
  );
  expect(code).toBe(1);
});

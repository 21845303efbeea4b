import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { DfsClient } from './dfs-client.ts';
import { isLink } from './sharing.ts';

const signature = `A-_${'b'.repeat(85)}`;

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A port that answers one after the other, and remembers what it was asked. */
async function serve(...answers: readonly { status: number; body: unknown }[]) {
  const heard: string[] = [];
  const server = createServer((request, response) => {
    const { status = 200, body = {} } = answers[heard.length] ?? {};
    heard.push(`${request.method} ${request.url}`);
    response.writeHead(status).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { sharing: new DfsClient({ url, key: 'secret' }).sharing, heard };
}

describe('a link that is revoked', () => {
  it.each([
    [signature, ''],
    [`http://files.example/fs/a%20b.txt?signature=${signature}`, '&path=%2Fa%20b.txt'],
    [`https://x/store/fs/d/%C3%A4?download=1&signature=${signature}`, '&path=%2Fd%2F%C3%A4'],
    [`one@a.txt?signature=${signature}`, ''],
    [`http://x/api/v1/stream/one@a.txt?signature=${signature}`, ''],
    [`http://x/fs/%?signature=${signature}`, ''],
  ])('is known as %s', async (link, path) => {
    const { sharing, heard } = await serve({ status: 200, body: { grants: 0, cut: 2 } });
    expect(await sharing.revoke(link)).toEqual({ grants: 0, cut: 2 });
    expect(heard).toEqual([`DELETE /api/v1/shares?signature=${signature}${path}`]);
  });

  it('is asked for by its content where a proxy shows it under another path', async () => {
    const notFound = { error: { code: 'not-found', message: 'No.' } };
    const { sharing, heard } = await serve({ status: 404, body: notFound });
    await sharing.revoke(`http://x/fs/y?signature=${signature}`);
    expect(heard).toEqual([
      `DELETE /api/v1/shares?signature=${signature}&path=%2Fy`,
      `DELETE /api/v1/shares?signature=${signature}`,
    ]);
  });

  it.each(['http://x/fs/y', 'http://x/fs/y?signature=', '/fs/y?signature='])(
    'is refused as %s',
    async (link) => {
      const { sharing, heard } = await serve();
      await expect(sharing.revoke(link)).rejects.toMatchObject({ kind: 'invalid-request' });
      expect(heard).toEqual([]);
    },
  );
});

describe('a word', () => {
  it.each([signature, `a?signature=${signature}`, 'http://x/fs/y', 'HTTPS://x/y'])(
    'that is a link: %s',
    (word) => {
      expect(isLink(word)).toBe(true);
    },
  );

  it.each(['/fs/y', 'report.pdf', 'a?b', 'signature=x', signature.slice(1), 'http:/x'])(
    'that is a path: %s',
    (word) => {
      expect(isLink(word)).toBe(false);
    },
  );
});

it('reads all pages of grants', async () => {
  const grant = { path: '/a', network: '10.0.0.0/8' };
  const { sharing, heard } = await serve(
    { status: 200, body: { grants: [grant, grant], next: 'x' } },
    { status: 200, body: { grants: [grant] } },
  );
  const found: unknown[] = [];
  for await (const each of sharing.grants('/d e')) found.push(each);
  expect(found).toEqual([grant, grant, grant]);
  expect(heard).toEqual([
    'GET /api/v1/grants/d%20e?limit=1000',
    'GET /api/v1/grants/d%20e?limit=1000&after=x',
  ]);
});

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DfsClient, type StatAnswer, StoreError, type UsageAnswer } from '@dfs/client';
import { expect, it } from 'vitest';

it('gives a program all that it needs under the name of the package', async () => {
  const usage: UsageAnswer = { path: '/a', files: 1, directories: 0, bytes: 5 };
  const server = createServer(({ url }, response) => {
    if (url === '/api/v1/usage/a') response.end(JSON.stringify(usage));
    else response.writeHead(404).end('{"error":{"code":"not-found","message":"No /b."}}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const client = new DfsClient({ url, key: undefined });
    const answer: UsageAnswer = await client.usage('/a');
    expect(answer).toEqual(usage);
    const missing: StatAnswer | unknown = await client.stat('/b').catch((error) => error);
    expect(missing).toBeInstanceOf(StoreError);
    expect(missing).toMatchObject({ kind: 'not-found' });
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

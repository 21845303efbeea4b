import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startBareServer } from './bare-reference.ts';
import type { ServerUnderTest } from './server-under-test.ts';

describe('the bare server', () => {
  let root: string;
  let server: ServerUnderTest;
  let url: string;

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'dfs-bare-server-'));
    server = await startBareServer({
      name: 'bare',
      root,
      authorization: 'Bearer none',
      threadPoolSize: 4,
    });
    url = `http://${server.target.host}:${server.target.port}`;
  });

  afterAll(async () => {
    await server.stop();
    await rm(root, { recursive: true });
  });

  it.each([0, 1, 4096, 3_000_000])('stores %i bytes and gives them back', async (sizeBytes) => {
    const bytes = randomBytes(sizeBytes);
    const path = `/fs/a/b-${sizeBytes}`;
    const put = await fetch(`${url}${path}`, { method: 'PUT', body: bytes });
    expect(put.status).toBe(201);
    expect(Buffer.compare(await readFile(join(root, path)), bytes)).toBe(0);
    const get = await fetch(`${url}${path}`);
    expect(get.status).toBe(200);
    expect(Buffer.compare(Buffer.from(await get.arrayBuffer()), bytes)).toBe(0);
    expect(await readdir(join(root, 'staging'))).toEqual([]);
  });

  it('answers 404 for a file that it does not have', async () => {
    expect((await fetch(`${url}/fs/absent`)).status).toBe(404);
  });
});

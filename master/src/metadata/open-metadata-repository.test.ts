import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { listen } from '@dfs/shared/cluster';
import { FakeClock, temporaryDirectory } from '@dfs/shared/testing';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openMetadataRepository } from './open-metadata-repository.ts';

let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeEach(async () => {
  folder = await temporaryDirectory();
});
afterEach(() => folder.remove());

const clock = new FakeClock();

it('makes the folder of a new database', async () => {
  const sqliteFile = `${folder.path}/a/b/metadata.db`;
  const repository = await openMetadataRepository({ sqliteFile, clock });
  expect(await repository.isEmpty()).toBe(true);
  await repository.close();
});

it.runIf(process.platform === 'linux')(
  'refuses at once a folder in a file system that makes none',
  async () => {
    const opened = openMetadataRepository({ sqliteFile: '/proc/none/metadata.db', clock });
    await expect(opened).rejects.toThrow(
      /^The data directory \/proc\/none cannot be made: .*ENOENT.*--data/,
    );
  },
);

it('lets go of the folder when it cannot be opened, and leaves a damaged database as it is', async () => {
  const sqliteFile = `${folder.path}/metadata.db`;
  const damaged = Buffer.from(
    'This is no database, though it is long enough to be one.'.repeat(99),
  );
  await writeFile(sqliteFile, damaged);
  for (let attempt = 0; attempt < 2; attempt += 1) {
    await expect(openMetadataRepository({ sqliteFile, clock })).rejects.toMatchObject({
      kind: 'internal',
      message: 'The metadata database is damaged.',
    });
  }
  expect(await readFile(sqliteFile)).toEqual(damaged);
});

it('is unavailable when no PostgreSQL answers', async () => {
  const server = createServer();
  const port = await listen(server, { host: '127.0.0.1', port: 0 });
  await new Promise((resolve) => server.close(resolve));
  const url = `postgres://postgres:secret@127.0.0.1:${port}/none`;
  const failure = await openMetadataRepository({ url, clock }).catch((error: unknown) => error);
  expect(failure).toMatchObject({ kind: 'unavailable' });
  expect(JSON.stringify(failure)).not.toContain('secret');
});

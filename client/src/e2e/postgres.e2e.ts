import { startPostgres, type TestServer } from '@dfs/shared/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contentOf } from './harness/content.ts';
import { temporaryDirectory } from './harness/guard.ts';
import { startDfs } from './harness/program.ts';
import {
  freePort,
  type SeparatePrograms,
  startSeparatePrograms,
} from './harness/separate-programs.ts';

const postgres = await startPostgres();

describe.skipIf(!postgres)('a cluster whose metadata are in PostgreSQL', () => {
  const environment = { DFS_DATABASE_URL: (postgres as TestServer)?.url };
  const bytes = contentOf('in postgres', 100_000);
  let programs: SeparatePrograms;
  beforeAll(async () => {
    programs = await startSeparatePrograms({ nodes: 2, copies: 2, environment });
  });
  afterAll(async () => {
    await programs?.dispose();
    await postgres?.stop();
  });

  it('stores, copies, lists and deletes files', async () => {
    await programs.store('/dir/kept.bin', bytes);
    await programs.store('/dir/gone.bin', bytes);
    await programs.waitForCopies(['/dir/kept.bin', '/dir/gone.bin'], 2);
    const answer = await programs.send({ method: 'DELETE', path: '/fs/dir/gone.bin' });
    expect(answer.status).toBe(204);
    expect(await programs.names('/dir')).toEqual(['kept.bin']);
    expect((await programs.get('/dir/kept.bin')).body.equals(bytes)).toBe(true);
  });

  it('refuses a second master on the same database', async () => {
    const ports = [
      '--port',
      String(await freePort()),
      '--management-port',
      String(await freePort()),
    ];
    const second = startDfs(['master', '--data', temporaryDirectory('second'), ...ports], {
      environment: {
        ...programs.environment,
        ...environment,
        DFS_CLUSTER_KEY: programs.key,
        DFS_HOST: '127.0.0.1',
      },
    });
    const { code, stdout, stderr } = await second.finished;
    expect(code).not.toBe(0);
    expect(`${stdout}${stderr}`).toMatch(/in use by another master/);
    expect(`${stdout}${stderr}`).not.toMatch(/\n\s+at /);
    expect((await programs.get('/dir/kept.bin')).body.equals(bytes)).toBe(true);
  });

  it('goes on with a new master after the first was killed', async () => {
    const { masterDir, key } = programs;
    await programs.master.stop('SIGKILL');
    const again = await startSeparatePrograms({
      nodes: 0,
      replicator: false,
      environment,
      masterDir,
      key,
    });
    try {
      expect(await again.names('/dir')).toEqual(['kept.bin']);
    } finally {
      await again.dispose();
    }
  });
});

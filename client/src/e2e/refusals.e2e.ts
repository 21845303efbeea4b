import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contentOf } from './harness/content.ts';
import { copiesOnDisk } from './harness/disk.ts';
import { temporaryDirectory } from './harness/guard.ts';
import { sendHttp } from './harness/http.ts';
import { type Finished, startDfs, userEnvironment } from './harness/program.ts';
import {
  freePort,
  type SeparatePrograms,
  startSeparatePrograms,
} from './harness/separate-programs.ts';

/** What a person reads: not the lines that a program logs for machines. */
const plainLines = (text: string) =>
  text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('{'));

/** Exit code other than 0, and one line without a stack. */
function expectRefusal({ code, stdout, stderr }: Finished, pattern: RegExp): void {
  expect(code, stderr).not.toBe(0);
  expect(code).not.toBeNull();
  const lines = plainLines(`${stdout}\n${stderr}`);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(pattern);
}

describe('a program that must not run', () => {
  let programs: SeparatePrograms;
  let strangers: SeparatePrograms;
  const bytes = contentOf('refusals', 50_000);
  beforeAll(async () => {
    programs = await startSeparatePrograms({ nodes: 2, copies: 2 });
    await programs.store('/safe.bin', bytes);
    await programs.waitForCopies(['/safe.bin'], 2);
    strangers = await startSeparatePrograms({ nodes: 1, copies: 1, replicator: false });
    await strangers.store('/theirs.bin', contentOf('theirs', 50_000));
  });
  afterAll(async () => {
    await strangers?.dispose();
    await programs?.dispose();
  });

  const keyed = () => ({
    ...programs.environment,
    DFS_CLUSTER_KEY: programs.key,
    DFS_HOST: '127.0.0.1',
  });
  const runNode = async (dataDir: string, environment: Record<string, string> = {}) => {
    const where = ['--data', dataDir, '--port', String(await freePort()), '--name', 'intruder'];
    return startDfs(['node', ...where, '--master', programs.managementUrl], {
      environment: { ...keyed(), ...environment },
    }).finished;
  };
  const runMaster = async (dataDir: string, environment: Record<string, string> = {}) => {
    const ports = [
      '--port',
      String(await freePort()),
      '--management-port',
      String(await freePort()),
    ];
    return startDfs(['master', '--data', dataDir, ...ports], {
      environment: { ...keyed(), ...environment },
    }).finished;
  };
  const expectUnharmed = async () => {
    expect((await programs.get('/safe.bin')).body.equals(bytes)).toBe(true);
    const states = (await programs.nodes()).map(({ name, state }) => [name, state]).sort();
    expect(states).toEqual([
      ['node-1', 'up'],
      ['node-2', 'up'],
    ]);
    const written = await programs.store('/unharmed.txt', `unharmed ${Math.random()}`);
    expect(written.path).toBe('/unharmed.txt');
  };

  it('is a second node on the data directory of a running one', async () => {
    const { dataDir } = programs.node('node-1');
    const refused = await runNode(dataDir);
    expectRefusal(refused, /in use|another|already|held/i);
    expect(refused.stderr).toContain(dataDir);
    await expectUnharmed();
  });

  it('is a second master on the database of a running one', async () => {
    const refused = await runMaster(programs.masterDir);
    expectRefusal(refused, /in use|another|already|held/i);
    expect(refused.stderr).toContain(programs.masterDir);
    await expectUnharmed();
  });

  it('is a node of another cluster, whose blobs stay as they are', async () => {
    const { dataDir, program } = strangers.node('node-1');
    await program.stop();
    const refused = await runNode(dataDir);
    expectRefusal(refused, /cluster/);
    expect(await copiesOnDisk(dataDir)).toHaveLength(1);
    await expectUnharmed();
    await strangers.startNode({ ...strangers.node('node-1'), proxied: false });
    const got = await strangers.get('/theirs.bin');
    expect(got.body.equals(contentOf('theirs', 50_000))).toBe(true);
  });

  it('is a node with a wrong cluster key', async () => {
    const refused = await runNode(temporaryDirectory('wrong-key'), {
      DFS_CLUSTER_KEY: 'a-wrong-cluster-key',
    });
    expectRefusal(refused, /key/);
    expect(`${refused.stdout}${refused.stderr}`).not.toContain('a-wrong-cluster-key');
    await expectUnharmed();
  });

  it('is a replicator with a wrong cluster key', async () => {
    const refused = await startDfs(['replicator', '--master', programs.managementUrl], {
      environment: { ...keyed(), DFS_CLUSTER_KEY: 'a-wrong-cluster-key' },
    }).finished;
    expectRefusal(refused, /key/);
  });

  it('is whoever knocks at the management port or at a node without the key', async () => {
    const { port } = programs.node('node-1');
    const doors: [string, string, string][] = [
      [programs.managementUrl, 'GET', '/cluster/nodes'],
      [programs.managementUrl, 'POST', '/cluster/heartbeat'],
      [programs.managementUrl, 'POST', '/cluster/leases'],
      [`http://127.0.0.1:${port}`, 'GET', '/inventory'],
      [`http://127.0.0.1:${port}`, 'GET', '/status'],
      [`http://127.0.0.1:${port}`, 'POST', '/pull'],
    ];
    for (const [url, method, path] of doors) {
      for (const headers of [{}, { Authorization: 'Bearer wrong' }] as Record<string, string>[]) {
        const answer = await sendHttp(url, { method, path, headers, body: '{}' });
        expect([path, answer.status]).toEqual([path, 401]);
      }
    }
  });

  it('is one whose data directory cannot be written', async () => {
    const folder = temporaryDirectory('unwritable');
    const file = join(folder, 'a-file');
    writeFileSync(file, 'not a directory');
    for (const run of [runNode, runMaster]) {
      const refused = await run(join(file, 'data'));
      expectRefusal(refused, /written|made|directory|ENOTDIR/i);
      expect(refused.stderr).toContain(file);
    }
  });

  // Root may write everywhere; a test that is skipped would fail a run that allows none.
  if (process.getuid?.() !== 0) {
    it('is one whose data directory is read-only', async () => {
      const folder = join(temporaryDirectory('read-only'), 'data');
      mkdirSync(folder);
      chmodSync(folder, 0o555);
      for (const run of [runNode, runMaster]) {
        expectRefusal(await run(folder), /written|permission|EACCES/i);
      }
    });
  }

  it('is a node on a directory that holds other things', async () => {
    const folder = temporaryDirectory('precious');
    writeFileSync(join(folder, 'thesis.tex'), 'precious');
    const refused = await runNode(folder);
    expectRefusal(refused, /thesis\.tex/);
  });

  it('is one that would listen to the world without a key', async () => {
    const environment = { ...programs.environment, DFS_HOST: '0.0.0.0' };
    for (const program of ['master', 'node']) {
      const args = [program, '--data', temporaryDirectory('open'), '--port', '0'];
      const refused = await startDfs(args, { environment }).finished;
      expectRefusal(refused, /DFS_HOST.*key/);
    }
  });

  it('is one whose port is taken', async () => {
    const taken = String(new URL(programs.url).port);
    const args = ['--data', temporaryDirectory('taken'), '--port', taken];
    const refused = await startDfs(['node', ...args, '--master', programs.managementUrl], {
      environment: keyed(),
    }).finished;
    expectRefusal(refused, new RegExp(taken));
    await expectUnharmed();
  });
});

describe('dfs up --reset', () => {
  it('touches nothing in a directory that is no store', async () => {
    const folder = temporaryDirectory('precious');
    for (const name of ['logs', 'master', 'node-1']) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'thesis.tex'), 'precious');
    }
    const before = readdirSync(folder, { recursive: true });
    const environment = userEnvironment(temporaryDirectory('home'));
    const args = ['up', '--reset', '--yes', '--data', folder, '--port', '0'];
    const refused = await startDfs(args, { environment }).finished;
    expect(refused.code).toBe(1);
    expectRefusal(refused, /does not look like a store/);
    expect(readdirSync(folder, { recursive: true })).toEqual(before);
  });
});

describe('a place where nothing can be made', () => {
  const environment = { ...userEnvironment(temporaryDirectory('home')), DFS_HOST: '127.0.0.1' };
  /** Ends by force what would go on for ever, which gives no exit code. */
  const run = async (args: readonly string[], more: Record<string, string> = {}) => {
    const program = startDfs(args, { environment: { ...environment, ...more } });
    const timer = setTimeout(() => program.kill('SIGKILL'), 30_000);
    const finished = await program.finished;
    clearTimeout(timer);
    return finished;
  };
  const file = join(temporaryDirectory('in-the-way'), 'file');
  writeFileSync(file, 'not a directory');
  const places = [file, join(file, 'data')];
  if (process.platform === 'linux') places.push('/proc/none', '/proc/none/a');

  it.each(places)('(%s) is no data directory, as one line says with a way out', async (place) => {
    const calls: [string[], number][] = [
      [['up', '--port', '0'], 1],
      [['master', '--port', '0', '--management-port', '0'], 2],
      [['node', '--port', '0', '--master', 'http://127.0.0.1:1'], 2],
    ];
    for (const [args, code] of calls) {
      const refused = await run([...args, '--data', place]);
      expect([args[0], refused.code]).toEqual([args[0], code]);
      expectRefusal(refused, /data directory .* cannot be made: .* \(E[A-Z]+\)\. .*--data/);
      expect(refused.stderr).toContain(place);
    }
  });

  it.each(places)("(%s) does not take the command's configuration or a key", async (place) => {
    const dataDir = join(temporaryDirectory('fine'), 'data');
    const up = await run(['up', '--data', dataDir, '--port', '0'], { XDG_CONFIG_HOME: place });
    expectRefusal(up, /configuration.* cannot be made: .*XDG_CONFIG_HOME/);
    expect(up.stderr).toContain(place);
    const keyFile = { DFS_CLUSTER_KEY_FILE: join(place, 'key') };
    const master = await run(['master', '--data', dataDir, '--port', '0'], keyFile);
    expectRefusal(master, /key file .* cannot be made: .*directory/);
    expect(master.code).toBe(2);
  });
});

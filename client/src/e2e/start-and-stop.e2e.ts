import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contentOf } from './harness/content.ts';
import { temporaryDirectory } from './harness/guard.ts';
import { sendHttp } from './harness/http.ts';
import { type LocalCluster, shortTimes, startCluster } from './harness/local-cluster.ts';
import { childrenOf, isAlive, startDfs, userEnvironment, waitForEnd } from './harness/program.ts';
import {
  freePort,
  type SeparatePrograms,
  startSeparatePrograms,
} from './harness/separate-programs.ts';
import { waitUntil } from './harness/wait-until.ts';

const modeOf = (path: string) => statSync(path).mode & 0o777;
/** What a person sees of a refusal: lines that are neither empty nor a log's. */
const plainLines = (text: string) =>
  text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('{'));

describe('a cluster that dfs up runs', () => {
  let cluster: LocalCluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3, restart: true });
  });
  afterAll(() => cluster?.dispose());

  it('says in cluster.json where each part is', () => {
    const file = cluster.file();
    expect(file.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(file.managementUrl).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(file.managementUrl).not.toBe(file.url);
    expect(file.nodes.map((node) => node.name)).toEqual(['node-1', 'node-2', 'node-3']);
    for (const node of file.nodes) {
      expect(node.id).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
      expect(node.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
      expect(existsSync(join(node.dataDir, 'blobs'))).toBe(true);
    }
    const pids = cluster.pids();
    expect(new Set(pids).size).toBe(5);
    expect(pids.filter(isAlive)).toEqual(pids);
  });

  it('has every node registered before cluster.json is there', async () => {
    const known = await cluster.nodes();
    expect(known.map(({ id, state }) => [id, state]).sort()).toEqual(
      cluster
        .file()
        .nodes.map(({ id }) => [id, 'up'])
        .sort(),
    );
  });

  it('keeps the key where only its owner reads it', () => {
    const { keyFile } = cluster.file();
    const config = join(cluster.environment['XDG_CONFIG_HOME'] ?? '', 'dfs', 'config.json');
    expect(modeOf(keyFile)).toBe(0o600);
    expect(modeOf(config)).toBe(0o600);
    expect(JSON.parse(readFileSync(config, 'utf8'))).toEqual({
      url: cluster.url,
      key: cluster.key,
    });
    expect(cluster.key.length).toBeGreaterThanOrEqual(32);
    expect(readFileSync(join(cluster.dataDir, 'cluster.json'), 'utf8')).not.toContain(cluster.key);
    expect(cluster.launcher.output).not.toContain(cluster.key);
  });

  it('prints its address, where data and key lie, and the next three commands', () => {
    const { output } = cluster.launcher;
    for (const text of [cluster.url, cluster.dataDir, cluster.file().keyFile]) {
      expect(output).toContain(text);
    }
    expect(output).toMatch(/dfs put .*\n\s*.*dfs replicas .*\n\s*.*dfs get /);
  });

  it('shows that it is alive and ready to whoever asks', async () => {
    for (const path of ['/', '/healthz', '/readyz', '/api/v1/health']) {
      const answer = await cluster.send({ path, withKey: false });
      expect([path, answer.status]).toEqual([path, 200]);
    }
  });

  it.runIf(process.platform === 'linux')('listens on 127.0.0.1 alone', () => {
    const file = cluster.file();
    const ports = [file.url, file.managementUrl, ...file.nodes.map((node) => node.url)].map((url) =>
      Number(new URL(url).port),
    );
    const listening = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) =>
      existsSync(table) ? readFileSync(table, 'utf8').split('\n').slice(1) : [],
    );
    const addresses = listening
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === '0A')
      .map((fields) => (fields[1] ?? '').split(':'))
      .filter(([, port = '']) => ports.includes(Number.parseInt(port, 16)))
      .map(([address]) => address);
    expect(addresses).toHaveLength(ports.length);
    expect(new Set(addresses)).toEqual(new Set(['0100007F']));
  });

  it.each(['master', 'node-1', 'replicator'])(
    'starts %s again when it was killed, and says so',
    async (member) => {
      const bytes = contentOf(`restart ${member}`, 100_000);
      await cluster.store(`/kept-${member}.bin`, bytes);
      const before = cluster.file();
      const pid = cluster.pidOf(member);
      await cluster.kill(member);
      const newPid = await cluster.waitForRestart(member, pid);
      await cluster.launcher.printed(new RegExp(`${member} \\(pid ${pid}\\).*SIGKILL.*again`));
      await cluster.launcher.printed(new RegExp(`${member} is back \\(pid ${newPid}\\)`));
      await waitUntil('the store to be ready', cluster.isReady);
      await waitUntil('all nodes up', async () => (await cluster.status()).nodes.up === 3);
      const places = (file: typeof before) =>
        file.nodes.map(({ id, name, url, dataDir }) => ({ id, name, url, dataDir }));
      expect(cluster.file().url).toBe(before.url);
      expect(places(cluster.file())).toEqual(places(before));
      const got = await cluster.get(`/kept-${member}.bin`);
      expect(got.body.equals(bytes)).toBe(true);
    },
  );

  it('refuses a second dfs up on the same data in one line, and the first goes on', async () => {
    const second = await startDfs(['up', '--data', cluster.dataDir, '--port', '0'], {
      environment: cluster.environment,
    }).finished;
    expect(second.code).not.toBe(0);
    const said = plainLines(second.stderr);
    expect(said).toHaveLength(1);
    expect(said[0]).toContain(cluster.dataDir);
    expect(cluster.pids().every(isAlive)).toBe(true);
    expect(await cluster.isReady()).toBe(true);
  });

  it('refuses a second dfs up also when cluster.json was lost', async () => {
    const path = join(cluster.dataDir, 'cluster.json');
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, '');
    try {
      const second = await startDfs(['up', '--data', cluster.dataDir, '--port', '0'], {
        environment: { ...cluster.environment, ...shortTimes },
      }).finished;
      expect(second.code).not.toBe(0);
      expect(second.stderr).toContain(cluster.dataDir);
      expect(plainLines(second.stderr)).toHaveLength(1);
    } finally {
      writeFileSync(path, text);
    }
    expect(cluster.pids().every(isAlive)).toBe(true);
    await cluster.store('/after-second-up.txt', 'still writable');
  });

  it('stops in order on Ctrl-C, leaves no process, and has everything again at the next start', async () => {
    const bytes = contentOf('kept over a restart', 3_000_000);
    const put = await cluster.store('/kept.bin', bytes);
    await cluster.waitForCopies(['/kept.bin'], 3);
    const before = cluster.file();
    const pids = cluster.pids();
    const finished = await cluster.stop();
    expect(finished.code).toBe(0);
    expect(pids.filter(isAlive)).toEqual([]);
    expect(existsSync(join(cluster.dataDir, 'cluster.json'))).toBe(false);

    const again = await startCluster({ nodes: 3, dataDir: cluster.dataDir });
    try {
      expect(again.key).toBe(cluster.key);
      expect(again.file().nodes.map(({ id, name }) => [id, name])).toEqual(
        before.nodes.map(({ id, name }) => [id, name]),
      );
      const got = await again.get('/kept.bin');
      expect(got.body.equals(bytes)).toBe(true);
      expect((await again.stat('/kept.bin')).id).toBe(put.id);
      await again.waitForCopies(['/kept.bin'], 3);
    } finally {
      await again.dispose();
    }
  });
});

describe('dfs up', () => {
  it('leaves dead what died with --no-restart, and says so', async () => {
    const cluster = await startCluster({ nodes: 2, restart: false });
    try {
      const { pid } = cluster.node('node-2');
      await cluster.kill('node-2');
      await cluster.launcher.printed(new RegExp(`node-2 \\(pid ${pid}\\).*--no-restart`));
      await waitUntil('node-2 to be missed', async () => (await cluster.status()).nodes.up === 1);
      expect(cluster.node('node-2').pid).toBe(pid);
    } finally {
      await cluster.dispose();
    }
  });

  it('leaves no orphans when it is killed', async () => {
    const cluster = await startCluster({ nodes: 2 });
    const pids = cluster.pids();
    cluster.launcher.kill('SIGKILL');
    await waitForEnd(pids);
    // What the killed one left behind is no obstacle.
    const again = await startCluster({ nodes: 2, dataDir: cluster.dataDir });
    await again.dispose();
  });

  it.runIf(process.platform === 'linux')(
    'leaves nothing behind when it is stopped while it starts',
    async () => {
      const dataDir = join(temporaryDirectory('early'), 'data');
      const environment = userEnvironment(temporaryDirectory('home'));
      const launcher = startDfs(['up', '--data', dataDir, '--port', '0'], { environment });
      // The master at least runs by now, and nothing is ready.
      const children = await waitUntil('a first program', () => {
        const pids = childrenOf(launcher.pid);
        return pids.length > 0 && pids;
      });
      const finished = await launcher.stop('SIGINT');
      expect(finished.signal).toBeNull();
      expect(existsSync(join(dataDir, 'cluster.json'))).toBe(false);
      await waitForEnd(children);
    },
  );

  it('wipes the data with --reset after asking, and where nobody can be asked only with --yes', async () => {
    const cluster = await startCluster({ nodes: 1 });
    await cluster.store('/doomed.txt', 'doomed');
    await cluster.stop();
    const refused = await startDfs(['up', '--data', cluster.dataDir, '--port', '0', '--reset'], {
      environment: cluster.environment,
    }).finished;
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain('--yes');

    const kept = await startCluster({ nodes: 1, dataDir: cluster.dataDir });
    expect((await kept.get('/doomed.txt')).text).toBe('doomed');
    await kept.stop();

    const args = ['--reset', '--yes'];
    const wiped = await startCluster({ nodes: 1, dataDir: cluster.dataDir, args });
    try {
      expect(await wiped.names()).toEqual([]);
      expect(await wiped.onDisk()).toEqual({ copies: 0, staged: 0 });
    } finally {
      await wiped.dispose();
    }
  });

  it('prints cluster.json alone on standard output with --json, once all is ready', async () => {
    const dataDir = join(temporaryDirectory('json'), 'data');
    const environment = userEnvironment(temporaryDirectory('home'));
    const args = ['up', '--json', '--data', dataDir, '--nodes', '1', '--port', '0'];
    const launcher = startDfs(args, { environment });
    await launcher.printed(/^\{.*\}\n/m);
    const file = JSON.parse(readFileSync(join(dataDir, 'cluster.json'), 'utf8')) as unknown;
    const finished = await launcher.stop('SIGINT');
    expect(finished.stdout.trim().split('\n')).toHaveLength(1);
    expect(finished.json()).toEqual(file);
    expect(finished.stderr).toMatch(/Starting.*Stopped/s);
  });

  it('takes the public port that it is told, and refuses one that is taken in one line', async () => {
    const dataDir = join(temporaryDirectory('port'), 'data');
    const environment = userEnvironment(temporaryDirectory('home'));
    const port = await freePort();
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen({ port, host: '127.0.0.1' }, resolve));
    const args = ['up', '--data', dataDir, '--nodes', '1', '--port', String(port)];
    const refused = await startDfs(args, { environment }).finished;
    await new Promise((resolve) => holder.close(resolve));
    expect(refused.code).not.toBe(0);
    expect(plainLines(refused.stderr)).toHaveLength(1);
    expect(refused.stderr).toContain(String(port));

    const launcher = startDfs(args, { environment });
    try {
      await launcher.printed(/dfs is ready/);
      const ready = await sendHttp(`http://127.0.0.1:${port}`, { path: '/readyz' });
      expect(ready.status).toBe(200);
    } finally {
      await launcher.stop('SIGINT');
    }
  });
});

describe('the dfs command', () => {
  const environment = userEnvironment(temporaryDirectory('home'));
  const helpOf = async (...args: string[]) =>
    (await startDfs([...args, '--help'], { environment }).finished).stdout;

  it('prints its version', async () => {
    const { version } = JSON.parse(
      readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
    ) as { version: string };
    const finished = await startDfs(['--version'], { environment }).finished;
    expect([finished.code, finished.stdout]).toEqual([0, `${version}\n`]);
  });

  it('documents its exit codes and its commands', async () => {
    const help = await helpOf();
    expect(help).toMatch(/Exit codes:\n\s+0 /);
    for (const command of ['put', 'get', 'ls', 'stat', 'replicas', 'nodes', 'log', 'status']) {
      expect(help).toMatch(new RegExp(`^\\s+${command} `, 'm'));
    }
    for (const command of ['up', 'master', 'node', 'replicator']) {
      expect(help).toMatch(new RegExp(`^\\s+${command} `, 'm'));
    }
  });

  it.each(['put', 'get', 'ls', 'stat', 'replicas', 'nodes', 'log', 'status'])(
    'shows examples of %s, and that it can answer in JSON',
    async (command) => {
      const help = await helpOf(command);
      expect(help).toMatch(/Examples?:\n\s+/);
      expect(help).toContain('--json');
    },
  );

  it('has a flag for each setting of the README but the keys and the database', async () => {
    const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
    const rows = readme.matchAll(/^\| `(DFS_\w+)`[^|]*\| ([a-z, ]+) \|/gm);
    const wanted = [...rows].flatMap(([, variable, programs = '']) => {
      const named = programs === 'all programs' ? 'master, node, replicator' : programs;
      return named.split(', ').map((program) => `${program} ${variable}`);
    });
    const programs = ['master', 'node', 'replicator'];
    const helps = await Promise.all(programs.map((program) => helpOf(program)));
    const flags = helps.flatMap((help, index) =>
      [...help.replace(/\s+/g, ' ').matchAll(/\((DFS_\w+)\)/g)].map(
        ([, variable]) => `${programs[index]} ${variable}`,
      ),
    );
    expect(wanted.length).toBeGreaterThan(30);
    expect(wanted.filter((setting) => !flags.includes(setting))).toEqual([
      'client DFS_URL',
      'master DFS_CLUSTER_KEY',
      'node DFS_CLUSTER_KEY',
      'replicator DFS_CLUSTER_KEY',
      'master DFS_DATABASE_URL',
    ]);
    expect(flags.filter((setting) => !wanted.includes(setting))).toEqual([]);
  });

  it('refuses a data directory that is named by nothing, with exit code 2', async () => {
    const cwd = temporaryDirectory('here');
    for (const command of ['up', 'master', 'node']) {
      for (const data of ['', ' ']) {
        const args = [command, '--data', data, '--port', '0'];
        const finished = await startDfs(args, { environment, cwd }).finished;
        expect([command, finished.code]).toEqual([command, 2]);
        expect(finished.stderr).toMatch(/--data.*empty/);
      }
    }
    for (const command of ['master', 'node']) {
      const finished = await startDfs([command, '--port', '0'], {
        environment: { ...environment, DFS_DATA: '' },
        cwd,
      }).finished;
      expect([command, finished.code]).toEqual([command, 2]);
      expect(finished.stderr).toContain('DFS_DATA is empty');
    }
    expect(readdirSync(cwd)).toEqual([]);
  });

  it('says a wrong call in a line and ends with 2', async () => {
    for (const args of [['frobnicate'], ['put'], ['up', '--nodes', 'many'], ['ls', '--wrong']]) {
      const finished = await startDfs(args, { environment }).finished;
      expect([args, finished.code]).toEqual([args, 2]);
      expect(finished.stderr).toMatch(/error/i);
      expect(finished.stderr).not.toMatch(/^\s+at /m);
    }
  });

  it('ends with 6 and says how to start a store when none answers', async () => {
    const finished = await startDfs(['status'], {
      environment: { ...environment, DFS_URL: `http://127.0.0.1:${await freePort()}` },
    }).finished;
    expect(finished.code).toBe(6);
    expect(finished.stderr).toContain('dfs up');
  });
});

describe('programs that are started one by one', () => {
  let programs: SeparatePrograms;
  beforeAll(async () => {
    programs = await startSeparatePrograms({ nodes: 0, copies: 2 });
  });
  afterAll(() => programs?.dispose());

  it('are ready once a node takes writes', async () => {
    const before = await programs.send({ path: '/readyz', withKey: false });
    expect(before.status).toBe(503);
    const refused = await programs.put('/too-early.txt', 'x');
    expect(refused.status).toBe(503);
    expect(refused.headers['retry-after']).toMatch(/^\d+$/);
    await programs.startNode({ name: 'attic' });
    await waitUntil('the store to be ready', programs.isReady);
  });

  it('keep a file on as many nodes as asked', async () => {
    await programs.startNode({ name: 'cellar' });
    const bytes = contentOf('separate', 200_000);
    await programs.store('/separate.bin', bytes);
    await programs.waitForCopies(['/separate.bin'], 2);
    const names = (await programs.replicas('/separate.bin')).map(({ node }) => node.name).sort();
    expect(names).toEqual(['attic', 'cellar']);
  });

  it('leave no orphan when their command is killed', async () => {
    const { program, port } = programs.node('attic');
    program.kill('SIGKILL');
    const url = `http://127.0.0.1:${port}`;
    await waitUntil('the end of the node', async () => {
      const answer = await sendHttp(url, { path: '/healthz' }).catch(() => undefined);
      return answer === undefined;
    });
    const got = await programs.get('/separate.bin');
    expect(got.body.equals(contentOf('separate', 200_000))).toBe(true);
  });

  it('stop on a signal with exit code 0', async () => {
    const { program } = programs.node('cellar');
    const finished = await program.stop('SIGINT');
    expect(finished.code).toBe(0);
  });

  it('log for people or for programs, as the flag says over the variable', async () => {
    for (const [flags, pattern] of [
      [['--json'], /^\{.*"message":/m],
      [['--log-format', 'json'], /^\{.*"message":/m],
      [['--log-format', 'text'], /^[\d:.]+ INFO +master: /m],
    ] as const) {
      const format = pattern.source.includes('INFO') ? 'json' : 'text';
      const ports = ['--port', '0', '--management-port', '0'];
      const args = ['master', '--data', temporaryDirectory('log'), ...ports, ...flags];
      const master = startDfs(args, {
        environment: { ...programs.environment, DFS_LOG_FORMAT: format },
      });
      await master.printed(pattern);
      await master.stop();
    }
  });

  it('list every wrong setting at once and end with 2', async () => {
    const finished = await startDfs(['master', '--data', temporaryDirectory('wrong')], {
      environment: {
        ...programs.environment,
        DFS_COPIES: 'many',
        DFS_NODE_TIMEOUT: 'soon',
        DFS_SEGMENT_BYTES: '1 furlong',
      },
    }).finished;
    expect(finished.code).toBe(2);
    for (const name of ['DFS_COPIES', 'DFS_NODE_TIMEOUT', 'DFS_SEGMENT_BYTES']) {
      expect(finished.stderr).toContain(name);
    }
  });
});

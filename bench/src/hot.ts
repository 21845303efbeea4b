import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startBareServer } from './bare-reference.ts';
import { inNewDirectory, runAsProgram, sayAs } from './bench-program.ts';
import { type Cluster, type ClusterNode, startCluster } from './cluster.ts';
import type { LoadJob, LoadResult, LoadTarget } from './load-messages.ts';
import { LoadProcess } from './load-process.ts';
import { ask, bytesSentBy, listenerOf } from './node-load.ts';
import { currentCommit, resultsDirectory } from './results.ts';
import { median } from './statistics.ts';
import { type Bound, rowOf, type TreeRow, textOfRows } from './tree-row.ts';

const usage = `npm run bench:hot -- [options]

What many read at once: four nodes, copies 1. Missed (exit code 1): a ratio that is not kept.

  - a file of 8 MiB read by many clients through the master, without spreading and with it: what each node sends, beside an even share
  - a file of 4 KiB by as many connections at the nodes' own listeners, beside the bare server
  - a large file from the listener of the node that stores it, beside the bare server

  --clients N      readers at the same time (64)
  --seconds N      each measurement (10)
  --rounds N       of each comparison with the bare server (5)
  --large-mib N    the large file (256)
  --dir DIR        where the store lies (bench/results, which is on a disk)
  --json           prints the result as JSON
`;

const flags = {
  clients: { type: 'string', default: '64' },
  seconds: { type: 'string', default: '10' },
  rounds: { type: 'string', default: '5' },
  'large-mib': { type: 'string', default: '256' },
  dir: { type: 'string', default: resultsDirectory },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

const nodeCount = 4;
const hotBytes = 8 * 2 ** 20;
const smallBytes = 4096;
const hotPath = '/fs/hot/video';
const smallPrefix = '/fs/hot/small';
const smallPath = `${smallPrefix}/00000000`;
const largePath = '/fs/hot/large';
/** How far a node may be from an even share. */
const evenWithin = 0.25;
const smallAtLeast = 0.3;
const largeAtLeast = 0.8;
/** Heartbeats tell what is cached; the bench need not wait for seconds. */
const heartbeatEvery = '500ms';
const spreadWithinMs = 60_000;
const pollMs = 250;

interface Settings {
  readonly clients: number;
  readonly seconds: number;
  readonly rounds: number;
  readonly largeMib: number;
}

async function main(argv: string[]): Promise<number> {
  const { values } = parseArgs({ args: argv, options: flags });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  return inNewDirectory(values.dir, 'hot', async (directory) => {
    const load = new LoadProcess();
    try {
      const settings = {
        clients: Number(values.clients),
        seconds: Number(values.seconds),
        rounds: Number(values.rounds),
        largeMib: Number(values['large-mib']),
      };
      const startedAt = new Date().toISOString();
      const rows = [
        ...(await measureWithout(join(directory, 'without'), load, settings)),
        ...(await measureWith(join(directory, 'with'), load, settings)),
      ];
      const machine = {
        processors: cpus().length,
        processor: cpus()[0]?.model.trim() ?? 'unknown',
      };
      const report = { startedAt, commit: await currentCommit(), machine, settings, rows };
      const text = `${JSON.stringify(report, undefined, 2)}\n`;
      await mkdir(resultsDirectory, { recursive: true });
      await writeFile(join(resultsDirectory, `hot-${startedAt.replaceAll(':', '-')}.json`), text);
      process.stdout.write(values.json ? text : `\n${textOfRows(rows)}`);
      return rows.every((row) => row.isMet) ? 0 : 1;
    } finally {
      await load.stop();
    }
  });
}

/** For comparison: no bound, since one node does all. */
async function measureWithout(
  directory: string,
  load: LoadProcess,
  settings: Settings,
): Promise<TreeRow[]> {
  say('starting a cluster that spreads nothing');
  const cluster = await start(directory, '0');
  try {
    await run(load, putJob(cluster.target, hotPath, hotBytes));
    say(`${settings.clients} clients read a file of 8 MiB`);
    const { busiest, even } = await readHot(load, cluster, settings);
    return [shareRow('8 MiB without spreading, the busiest node', busiest, even)];
  } finally {
    await cluster.stop();
  }
}

async function measureWith(
  directory: string,
  load: LoadProcess,
  settings: Settings,
): Promise<TreeRow[]> {
  say('starting a cluster that spreads');
  const cluster = await start(directory, '60');
  try {
    await run(load, putJob(cluster.target, hotPath, hotBytes));
    say('reading until every node has the file');
    await readUntilSpread(load, cluster, settings);
    say(`${settings.clients} clients read a file of 8 MiB`);
    const { busiest, idlest, even } = await readHot(load, cluster, settings);
    const rows = [
      shareRow('8 MiB spread, the busiest node', busiest, even, { atMost: 1 + evenWithin }),
      shareRow('8 MiB spread, the idlest node', idlest, even, { atLeast: 1 - evenWithin }),
    ];
    return [...rows, ...(await compare(directory, load, { cluster, settings }))];
  } finally {
    await cluster.stop();
  }
}

/** What the nodes' own listeners give beside the bare server. */
async function compare(
  directory: string,
  load: LoadProcess,
  { cluster, settings }: { readonly cluster: Cluster; readonly settings: Settings },
): Promise<TreeRow[]> {
  const { authorization } = cluster.target;
  const bare = await startBareServer({
    ...{ name: 'bare', root: join(directory, 'bare'), authorization },
    threadPoolSize: cluster.threadPoolSize,
  });
  try {
    const largeBytes = settings.largeMib * 2 ** 20;
    for (const target of [cluster.target, bare.target]) {
      await run(load, {
        ...{ kind: 'put-small-files', target, prefix: smallPrefix, sizeBytes: smallBytes },
        ...{ connections: 1, firstContent: 0, limit: { requests: 1 }, untilReplicated: false },
      });
      await run(load, putJob(target, largePath, largeBytes));
    }
    const listeners = cluster.nodes.map((node) => listenerOf(node, authorization));
    const holder = await holderOf(cluster, largePath);
    const getSmall = (targets: LoadTarget[]): LoadJob => ({
      ...{ kind: 'get-one-file', targets, path: smallPath, sizeBytes: smallBytes, content: 0 },
      ...{ connections: settings.clients, durationMs: settings.seconds * 1_000 },
    });
    const getLarge = (target: LoadTarget, isFirst: boolean): LoadJob => ({
      ...{ kind: 'get-stream', target, path: largePath, sizeBytes: largeBytes, content: 0 },
      ...{ followRedirect: false, verifyMd5: isFirst },
    });
    const rates = { small: [] as number[], bareSmall: [] as number[] };
    const large = { ours: [] as number[], bare: [] as number[] };
    // The first round warms up, has the nodes fetch what they lack, and checks the bytes.
    for (let round = 0; round <= settings.rounds; round += 1) {
      say(round === 0 ? 'comparing with the bare server' : `round ${round} of ${settings.rounds}`);
      const small = await run(load, getSmall(listeners));
      const bareSmall = await run(load, getSmall([bare.target]));
      const ourLarge = await run(load, getLarge(holder, round === 0));
      const bareLarge = await run(load, getLarge(bare.target, round === 0));
      if (round === 0) continue;
      rates.small.push(perSecond(small));
      rates.bareSmall.push(perSecond(bareSmall));
      large.ours.push(mibPerSecond(ourLarge));
      large.bare.push(mibPerSecond(bareLarge));
    }
    return [
      rowOf({
        title: `GET 4 KiB by ${settings.clients} connections at the nodes`,
        ...{ ours: median(rates.small), reference: median(rates.bareSmall) },
        ...{ referenceName: 'the bare server', unit: 'requests/s' },
        bound: { atLeast: smallAtLeast },
      }),
      rowOf({
        title: `GET ${settings.largeMib} MiB from a node that stores it`,
        ...{ ours: median(large.ours), reference: median(large.bare) },
        ...{ referenceName: 'the bare server', unit: 'MiB/s' },
        bound: { atLeast: largeAtLeast },
      }),
    ];
  } finally {
    await bare.stop();
  }
}

const start = (directory: string, hotReads: string) =>
  startCluster({
    ...{ directory, copies: 1, nodes: nodeCount },
    environment: {
      DFS_HOT_READS: hotReads,
      DFS_HEARTBEAT_EVERY: heartbeatEvery,
      DFS_NODE_PUBLIC_PORT: '0',
    },
  });

const putJob = (target: LoadTarget, path: string, sizeBytes: number): LoadJob => ({
  ...{ kind: 'put-stream', target, path, sizeBytes, content: 0 },
});

/** Runs a job; a request that failed makes all figures worthless. */
async function run(load: LoadProcess, job: LoadJob): Promise<LoadResult> {
  const result = await load.run(job);
  if (result.errorCount === 0) return result;
  throw new Error(`${job.kind}: ${result.errorCount} failed: ${result.errorSamples.join('; ')}`);
}

const getHot = (cluster: Cluster, { clients, seconds }: Settings): LoadJob => ({
  ...{ kind: 'get-one-file', targets: [cluster.target], path: hotPath, sizeBytes: hotBytes },
  ...{ connections: clients, durationMs: seconds * 1_000 },
});

/** Bytes that nodes sent meanwhile: the busiest, the idlest, and what an even share is. */
async function readHot(load: LoadProcess, cluster: Cluster, settings: Settings) {
  const { nodes, target } = cluster;
  const { authorization } = target;
  const before = await bytesSentBy(nodes, authorization);
  await run(load, getHot(cluster, settings));
  const after = await bytesSentBy(nodes, authorization);
  const sent = nodes.map(({ name }) => (after.get(name) ?? 0) - (before.get(name) ?? 0));
  const mib = sent.map((bytes) => Math.round(bytes / 2 ** 20));
  say(`MiB by node: ${nodes.map(({ name }, index) => `${name} ${mib[index]}`).join(', ')}`);
  const even = sent.reduce((sum, bytes) => sum + bytes, 0) / nodes.length;
  return { busiest: Math.max(...sent), idlest: Math.min(...sent), even };
}

async function readUntilSpread(
  load: LoadProcess,
  cluster: Cluster,
  settings: Settings,
): Promise<void> {
  const deadlineMs = performance.now() + spreadWithinMs;
  while (performance.now() < deadlineMs) {
    await run(load, getHot(cluster, { ...settings, seconds: 1 }));
    const { files } = await ask<{ files: { path: string; cached: unknown[] }[] }>(
      cluster.target,
      '/api/v1/hot',
    );
    const file = files.find(({ path }) => `/fs${path}` === hotPath);
    if (file?.cached.length === nodeCount - 1) return;
    await delay(pollMs);
  }
  throw new Error(`The file was not on every node within ${spreadWithinMs / 1_000} s.`);
}

/** The listener of the node that stores a file. */
async function holderOf(cluster: Cluster, path: string): Promise<LoadTarget> {
  const replicas = await ask<{ node: { name: string } }[]>(
    cluster.target,
    path.replace('/fs/', '/api/v1/replicas/'),
  );
  const holder: ClusterNode | undefined = cluster.nodes.find(
    ({ name }) => name === replicas[0]?.node.name,
  );
  if (holder) return listenerOf(holder, cluster.target.authorization);
  throw new Error(`No node stores ${path}.`);
}

const shareRow = (title: string, bytes: number, even: number, bound?: Bound) =>
  rowOf({
    title,
    ...{ ours: bytes / 2 ** 20, reference: even / 2 ** 20, referenceName: 'an even share' },
    ...{ unit: 'MiB', bound },
  });

const perSecond = ({ requests, elapsedMs }: LoadResult) => requests / (elapsedMs / 1_000);
const mibPerSecond = ({ bytes, elapsedMs }: LoadResult) => bytes / 2 ** 20 / (elapsedMs / 1_000);
const say = sayAs('hot');

runAsProgram('hot', main);

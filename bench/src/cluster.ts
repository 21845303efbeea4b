import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { endProcess } from './child-process.ts';
import { environmentOf, type ProcessName } from './process-memory.ts';
import type { ServerUnderTest } from './server-under-test.ts';

const startMaxMs = 90_000;
const stopPatienceMs = 30_000;
const pollIntervalMs = 50;
const outputTailBytes = 2_000;
const usualNodeCount = 3;
/** What the programs give themselves; taken where the environment of a node cannot be seen. */
export const usualThreadPoolSize = 16;

/** What `dfs up` writes into its data directory once every node has registered. */
interface ClusterFile {
  url: string;
  managementUrl: string;
  keyFile: string;
  master: { pid: number };
  replicator: { pid: number };
  nodes: {
    id: string;
    name: string;
    url: string;
    publicUrl?: string;
    pid: number;
    dataDir: string;
  }[];
}

/** A storage node of it. */
export interface ClusterNode {
  readonly name: string;
  /** Its own port, where `/metrics` is. */
  readonly url: string;
  /** Its listener for users, where it has one (`DFS_NODE_PUBLIC_PORT`). */
  readonly publicUrl?: string;
}

/** A cluster of the bench's own, with everything it writes under one directory. */
export interface Cluster extends ServerUnderTest {
  /** UV_THREADPOOL_SIZE of the storage nodes, which do what the bare server does. */
  readonly threadPoolSize: number;
  /** How many copies of a file it keeps. */
  readonly copies: number;
  /** The environment in which the `dfs` command finds this cluster and leaves the user's alone. */
  readonly clientEnvironment: NodeJS.ProcessEnv;
  readonly nodes: readonly ClusterNode[];
  /** How many copies lie on the nodes' disks. */
  countStoredCopies(): Promise<number>;
}

/** The command as it is installed: the committed launcher of the client. */
export const dfsCommand = fileURLToPath(new URL('../../client/bin/dfs.js', import.meta.url));

/**
 * Starts a master, nodes (three of them) and a replicator with `dfs up` and waits until all are there.
 * Rejects with the end of what they printed when that does not happen.
 */
export async function startCluster(options: {
  directory: string;
  copies: number;
  nodes?: number;
  /** More settings of the programs. */
  environment?: Readonly<Record<string, string>>;
}): Promise<Cluster> {
  const dataDirectory = join(options.directory, 'data');
  const outputPath = join(options.directory, 'cluster.log');
  await mkdir(dataDirectory, { recursive: true });
  const environment = {
    ...cleanEnvironment(join(options.directory, 'config')),
    ...options.environment,
  };
  const output = await open(outputPath, 'w');
  const child = spawn(
    process.execPath,
    [
      ...[
        dfsCommand,
        'up',
        '--data',
        dataDirectory,
        '--nodes',
        String(options.nodes ?? usualNodeCount),
      ],
      ...['--port', '0', '--no-restart', '--copies', String(options.copies)],
    ],
    { env: environment, stdio: ['ignore', output.fd, output.fd] },
  );
  await output.close();
  const stop = async () => {
    const { wasKilled } = await endProcess(child, 'SIGINT', stopPatienceMs);
    if (wasKilled) throw new Error('The cluster did not stop on SIGINT and was killed.');
  };
  try {
    const file = await clusterFile(join(dataDirectory, 'cluster.json'), child);
    const key = (await readFile(file.keyFile, 'utf8')).trim();
    const url = new URL(file.url);
    const seen = await environmentOf(file.nodes[0]?.pid ?? 0, 'UV_THREADPOOL_SIZE');
    return {
      name: 'dfs',
      target: {
        host: url.hostname,
        port: Number(url.port),
        authorization: `Bearer ${key}`,
      },
      processes: processesOf(file, child),
      isReplicating: true,
      copies: options.copies,
      nodes: file.nodes,
      threadPoolSize: Number(seen ?? usualThreadPoolSize),
      clientEnvironment: { ...environment, DFS_URL: file.url, DFS_KEY: key },
      countStoredCopies: () => countStoredCopies(file),
      stop,
    };
  } catch (error) {
    await stop().catch(() => {});
    const printed = await readFile(outputPath, 'utf8').catch(() => '');
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`${reason} It printed:\n${printed.slice(-outputTailBytes)}`, { cause: error });
  }
}

async function clusterFile(path: string, child: ChildProcess): Promise<ClusterFile> {
  const deadlineMs = performance.now() + startMaxMs;
  while (performance.now() < deadlineMs) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`\`dfs up\` ended (${child.exitCode ?? child.signalCode}).`);
    }
    // It is written last and by rename: what can be read is complete.
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (text !== undefined) return JSON.parse(text) as ClusterFile;
    await delay(pollIntervalMs);
  }
  throw new Error(`\`dfs up\` wrote no cluster.json within ${startMaxMs / 1000} s.`);
}

function processesOf(file: ClusterFile, launcher: ChildProcess): ProcessName[] {
  return [
    { name: 'dfs up', pid: launcher.pid ?? 0 },
    { name: 'master', pid: file.master.pid },
    { name: 'replicator', pid: file.replicator.pid },
    ...file.nodes.map((node) => ({ name: node.name, pid: node.pid })),
  ];
}

/** The user's settings for dfs must neither be read nor written. */
export function cleanEnvironment(configDirectory: string): NodeJS.ProcessEnv {
  const foreign = /^(DFS_|SHARD_KEY$|INSTANCE_NAME$|GOSSIP_INSTANCE$|XDG_CONFIG_HOME$)/;
  const kept = Object.entries(process.env).filter(([name]) => !foreign.test(name));
  return { ...Object.fromEntries(kept), XDG_CONFIG_HOME: configDirectory };
}

/** One blob is one file under `blobs/<two hex digits>/` of its node. */
async function countStoredCopies(file: ClusterFile): Promise<number> {
  const counts = await Promise.all(
    file.nodes.map(async (node) => {
      const entries = await readdir(join(node.dataDir, 'blobs'), {
        recursive: true,
        withFileTypes: true,
      });
      return entries.filter((entry) => entry.isFile()).length;
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

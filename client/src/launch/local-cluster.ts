import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EnvironmentReader, makeKeyFile } from '@dfs/shared';
import { type ClusterFile, removeClusterFile, writeClusterFile } from './cluster-file.ts';
import { isPortFree, portOrAny } from './ports.ts';
import { LaunchError, LaunchedProgram, type ProgramName, type ReadyInfo } from './program.ts';
import { makeWritable } from './writable-directory.ts';

export interface LocalClusterOptions {
  readonly dataDir: string;
  readonly nodeCount: number;
  /** The public port; 0: every port is a free one. */
  readonly port: number;
  readonly copies: number | undefined;
  readonly restart: boolean;
  /** Reached from other machines, too; absent: from this one alone. */
  readonly open?: OpenCluster;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** A line for the person who watches. */
  readonly say: (line: string) => void;
}

/** A cluster that nodes of other machines may join. */
export interface OpenCluster {
  /** Of the master and of its one node. */
  readonly name: string | undefined;
  /** Where other machines reach this one. */
  readonly address: string;
}

const managementPort = 7041;
export const firstNodePort = 7050;
const stopPatienceMs = 15_000;
/** A program that lived at least this long is started again at once; before, after a growing pause. */
const steadyAfterMs = 1_000;
const restartPauseMaxMs = 10_000;
const explainEveryMs = 3_000;

/** Settings of one program that must not leak from the launcher's environment into all of them. */
const ownSettings = [
  'DFS_CLUSTER_KEY',
  'DFS_CLUSTER_KEY_ALSO',
  'SHARD_KEY',
  'DFS_TLS_CERT',
  'DFS_TLS_KEY',
  'DFS_DATA',
  'DFS_PORT',
  'DFS_MANAGEMENT_PORT',
  'DFS_NODE_NAME',
  'INSTANCE_NAME',
  'DFS_NODE_URL',
  'DFS_NODE_PUBLIC_URL',
  'DFS_MASTER_URL',
  'DFS_SLOTS',
  'DFS_ZONE',
  'DFS_URL',
  'DFS_KEY',
];

/** Of these, what concerns an open cluster as a whole. */
const openSettings = [
  'DFS_CLUSTER_KEY',
  'DFS_CLUSTER_KEY_ALSO',
  'SHARD_KEY',
  'DFS_TLS_CERT',
  'DFS_TLS_KEY',
];

/** One program of the cluster across its restarts. */
interface Member {
  readonly label: string;
  readonly program: ProgramName;
  environment: Record<string, string | undefined>;
  process: LaunchedProgram;
  info: ReadyInfo;
  /** When it last began to serve. */
  servesSinceMs: number;
  quickEnds: number;
}

/** A master, storage nodes and a replicator on this machine, watched and started again when one dies. */
export class LocalCluster {
  readonly #options: LocalClusterOptions;
  readonly #base: Record<string, string | undefined>;
  readonly keyFile: string;
  readonly logDir: string;
  #master: Member | undefined;
  #replicator: Member | undefined;
  #nodes: Member[] = [];
  /** Every process that may still run, those that are starting included. */
  readonly #processes = new Set<LaunchedProgram>();
  #isStopping = false;
  #isReady = false;
  /** Settled when no write of `cluster.json` is under way. */
  #described: Promise<unknown> = Promise.resolve();

  constructor(options: LocalClusterOptions) {
    this.#options = options;
    this.keyFile = join(options.dataDir, 'cluster.key');
    this.logDir = join(options.dataDir, 'logs');
    const environment = { ...options.environment };
    const kept = options.open ? openSettings : [];
    for (const name of ownSettings) if (!kept.includes(name)) delete environment[name];
    this.#base = {
      ...environment,
      ...(options.open ? {} : { DFS_HOST: '127.0.0.1' }),
      ...(this.#isKeyGiven ? {} : { DFS_CLUSTER_KEY_FILE: this.keyFile }),
    };
  }

  /** An open cluster may be told its key; any other one makes its own. */
  get #isKeyGiven(): boolean {
    const { open, environment } = this.#options;
    const names = ['DFS_CLUSTER_KEY', 'SHARD_KEY', 'DFS_CLUSTER_KEY_FILE'];
    return open !== undefined && names.some((name) => environment[name]?.trim());
  }

  /** Starts all and resolves when every node has registered and `cluster.json` is written. Rejects with `LaunchError`; nothing keeps running then. */
  async start(): Promise<ClusterFile> {
    const { dataDir, port } = this.#options;
    // Before all else: it is the sign by which a reset knows a store.
    if (!this.#isKeyGiven) await makeKeyFile(this.keyFile);
    await makeWritable(this.logDir, {
      what: 'log directory',
      advice: 'Choose another data directory with --data.',
    });
    if (port !== 0 && !(await isPortFree(port))) {
      throw new LaunchError(
        `Port ${port} of 127.0.0.1 is taken: choose another with --port, or --port 0 for any.`,
      );
    }
    await this.#checkManagementPort();
    try {
      await this.#startMaster();
      // The master holds the lock of the data now, so whatever file is there was left behind.
      await removeClusterFile(dataDir);
      await this.#startOthers();
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.#isReady = true;
    return this.#describe();
  }

  /** Stops the replicator, the master and the nodes, in this order, each with time to finish what it does. */
  async stop(): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    await this.#described;
    if (this.#isReady) await removeClusterFile(this.#options.dataDir);
    await this.#stopMembers(this.#replicator ? [this.#replicator] : []);
    await this.#stopMembers(this.#master ? [this.#master] : []);
    await this.#stopMembers(this.#nodes);
    await Promise.all([...this.#processes].map((process) => process.stop(stopPatienceMs)));
  }

  async #startMaster(): Promise<void> {
    const { dataDir, port, copies, open } = this.#options;
    this.#master = await this.#launch('master', 'master', {
      DFS_DATA: join(dataDir, 'master'),
      DFS_PORT: String(port),
      DFS_MANAGEMENT_PORT: await this.#managementPort(),
      ...(copies === undefined ? {} : { DFS_COPIES: String(copies) }),
      ...(open?.name === undefined ? {} : { DFS_INSTANCE_NAME: open.name }),
    });
    // A restart must be found under the same addresses.
    const { environment, info } = this.#master;
    environment['DFS_PORT'] = String(info.port);
    environment['DFS_MANAGEMENT_PORT'] = String(info.managementPort);
  }

  /** Nodes of other machines remember it, so that of an open cluster is no other one after a restart. */
  async #managementPort(): Promise<string> {
    const { port, open, environment } = this.#options;
    if (open) return environment['DFS_MANAGEMENT_PORT']?.trim() || String(port && managementPort);
    return String(port === 0 ? 0 : await portOrAny(managementPort));
  }

  /** Told here, because --port would not help. Only whoever keeps one port can find it taken. */
  async #checkManagementPort(): Promise<void> {
    if (this.#options.open === undefined) return;
    const port = Number(await this.#managementPort());
    const isOne = Number.isInteger(port) && port > 0 && port < 65_536;
    if (!isOne || (await isPortFree(port))) return;
    throw new LaunchError(
      `Port ${port}, at which nodes report, is taken, as it is while another store runs on this machine: choose another with DFS_MANAGEMENT_PORT, or stop that store.`,
    );
  }

  async #startOthers(): Promise<void> {
    const { dataDir, port, nodeCount } = this.#options;
    const masterUrl = this.#masterUrl();
    const numbers = Array.from({ length: nodeCount }, (_, index) => index + 1);
    const ports = await Promise.all(
      numbers.map((number) => (port === 0 ? 0 : portOrAny(firstNodePort + number - 1))),
    );
    const stopTelling = this.#tellWhyNotReady();
    const started = await Promise.allSettled([
      this.#launch('replicator', 'replicator', { DFS_MASTER_URL: masterUrl }).then((member) => {
        this.#replicator = member;
      }),
      ...numbers.map(async (number, index) => {
        const node = await this.#launch(`node-${number}`, 'storage-node', {
          DFS_MASTER_URL: masterUrl,
          DFS_DATA: join(dataDir, `node-${number}`),
          DFS_PORT: String(ports[index]),
          ...this.#namesOf(number),
        });
        node.environment['DFS_PORT'] = String(node.info.port);
        this.#nodes.push(node);
      }),
    ]);
    stopTelling();
    this.#nodes.sort((a, b) => a.label.localeCompare(b.label, 'en', { numeric: true }));
    const failed = started.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  }

  /** Nodes learn their own address by the way to it, so for those of other machines it must not be that of this machine alone. */
  #masterUrl(): string | undefined {
    const { managementUrl } = this.#master?.info ?? {};
    const { open } = this.#options;
    if (managementUrl === undefined || open === undefined) return managementUrl;
    const url = new URL(managementUrl);
    url.hostname = open.address;
    return url.href.replace(/\/$/, '');
  }

  #namesOf(number: number): Record<string, string | undefined> {
    const { open, environment } = this.#options;
    if (open === undefined) {
      return { DFS_NODE_NAME: `node-${number}`, DFS_NODE_PUBLIC_URL: 'self' };
    }
    return {
      DFS_NODE_NAME: open.name,
      DFS_NODE_URL: environment['DFS_NODE_URL'],
      DFS_NODE_PUBLIC_URL: environment['DFS_NODE_PUBLIC_URL'],
    };
  }

  /** A start that takes long is explained by the master's own words, each once. */
  #tellWhyNotReady(): () => void {
    const told = new Set<string>();
    const timer = setInterval(async () => {
      const reasons = await reasonsOf(`${this.#master?.info.url}/readyz`);
      for (const reason of reasons.filter((text) => !told.has(text))) {
        told.add(reason);
        this.#options.say(`Not ready yet: ${reason}`);
        // The command knows the address of this start only once all is ready.
        if (reason.includes('dfs restore')) {
          this.#options.say(`In another terminal: DFS_URL=${this.#master?.info.url} dfs restore`);
        }
      }
    }, explainEveryMs);
    return () => clearInterval(timer);
  }

  async #launch(
    label: string,
    program: ProgramName,
    settings: Record<string, string | undefined>,
  ): Promise<Member> {
    const environment = { ...this.#base, ...settings };
    let launched: LaunchedProgram;
    let info: ReadyInfo;
    try {
      launched = this.#spawn(label, program, environment);
      info = await launched.ready();
    } catch (error) {
      throw new LaunchError(`${label} does not start: ${(error as Error).message}`);
    }
    const member: Member = {
      label,
      program,
      environment,
      process: launched,
      info,
      servesSinceMs: performance.now(),
      quickEnds: 0,
    };
    void this.#watch(member);
    return member;
  }

  #spawn(label: string, program: ProgramName, environment: Member['environment']) {
    const logFile = join(this.logDir, `${label}.log`);
    const launched = new LaunchedProgram({ program, environment, logFile });
    this.#processes.add(launched);
    void launched.exited.then(() => this.#processes.delete(launched));
    return launched;
  }

  async #watch(member: Member): Promise<void> {
    for (;;) {
      const { pid } = member.process;
      const { code, signal } = await member.process.exited;
      if (this.#isStopping) return;
      const how = signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`;
      if (!this.#options.restart) {
        this.#options.say(`${member.label} (pid ${pid}) ${how}; it stays away (--no-restart).`);
        return;
      }
      await this.#restart(member, `${member.label} (pid ${pid}) ${how}`);
      if (this.#isStopping) return;
    }
  }

  /** Starts a member again until it serves; every attempt is said. */
  async #restart(member: Member, what: string): Promise<void> {
    const servedMs = performance.now() - member.servesSinceMs;
    member.quickEnds = servedMs < steadyAfterMs ? member.quickEnds + 1 : 0;
    const pauseMs =
      member.quickEnds < 2 ? 0 : Math.min(restartPauseMaxMs, 250 * 2 ** member.quickEnds);
    this.#options.say(`${what}; starting it again${pauseMs > 0 ? ` in ${pauseMs / 1000} s` : ''}.`);
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    if (this.#isStopping) return;
    member.servesSinceMs = Number.POSITIVE_INFINITY;
    try {
      member.process = this.#spawn(member.label, member.program, member.environment);
      member.info = await member.process.ready();
      member.servesSinceMs = performance.now();
    } catch (error) {
      if (!this.#isStopping) this.#options.say(`${member.label}: ${(error as Error).message}`);
      return;
    }
    this.#options.say(`${member.label} is back (pid ${member.process.pid}).`);
    if (!this.#isReady || this.#isStopping) return;
    await this.#describe().catch((error: Error) => {
      this.#options.say(`cluster.json cannot be written: ${error.message}`);
    });
  }

  async #stopMembers(members: readonly Member[]): Promise<void> {
    await Promise.all(
      members.map(async ({ label, process }) => {
        const went = await process.stop(stopPatienceMs);
        if (!went)
          this.#options.say(
            `${label} did not stop within ${stopPatienceMs / 1000} s: ended by force.`,
          );
      }),
    );
  }

  /** Writes `cluster.json`. One write after the other, since two programs may be back at once, and none after the file was removed. */
  #describe(): Promise<ClusterFile> {
    const described = this.#described.then(async () => {
      const cluster = this.#facts();
      if (!this.#isStopping) await writeClusterFile(this.#options.dataDir, cluster);
      return cluster;
    });
    this.#described = described.catch(() => undefined);
    return described;
  }

  #facts(): ClusterFile {
    const master = this.#master?.info;
    return {
      url: master?.url ?? '',
      managementUrl: master?.managementUrl ?? '',
      keyFile: this.keyFile,
      launcher: { pid: process.pid },
      master: { pid: this.#master?.process.pid ?? 0 },
      replicator: { pid: this.#replicator?.process.pid ?? 0 },
      nodes: this.#nodes.map(({ info, process }) => ({
        id: info.nodeId ?? '',
        name: info.name ?? '',
        url: info.url ?? '',
        ...publicUrlOf(info),
        pid: process.pid,
        dataDir: info.dataDir ?? '',
      })),
    };
  }

  /** The cluster key, for the client's configuration file. */
  async readKey(): Promise<string> {
    if (this.#isKeyGiven) {
      const read = new EnvironmentReader(this.#options.environment);
      return read.secret('DFS_CLUSTER_KEY', 'SHARD_KEY') ?? '';
    }
    const [current = ''] = (await readFile(this.keyFile, 'utf8')).trim().split('\n', 1);
    return current.trimEnd();
  }
}

/** What a master that is not ready says of it; nothing when it does not answer. */
async function reasonsOf(url: string): Promise<readonly string[]> {
  try {
    const { reasons } = (await (await fetch(url)).json()) as { reasons?: readonly string[] };
    return reasons ?? [];
  } catch {
    return [];
  }
}

/** The listener of a node for users is at the host of its own port. */
function publicUrlOf({ url, publicPort }: ReadyInfo): { publicUrl?: string } {
  if (url === undefined || publicPort === undefined) return {};
  const publicUrl = new URL(url);
  publicUrl.port = String(publicPort);
  return { publicUrl: publicUrl.origin };
}

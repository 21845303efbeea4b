import { readdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { forgetProcess, temporaryDirectory, watchProcess } from './guard.ts';
import {
  type Finished,
  isAlive,
  type Program,
  startDfs,
  userEnvironment,
  waitForEnd,
} from './program.ts';
import { Store } from './store.ts';
import { waitUntil } from './wait-until.ts';

/** What `dfs up` writes for scripts. */
export interface ClusterFile {
  readonly url: string;
  readonly managementUrl: string;
  readonly keyFile: string;
  readonly master: { readonly pid: number };
  readonly replicator: { readonly pid: number };
  readonly nodes: readonly NodeEntry[];
}

export interface NodeEntry {
  readonly id: string;
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  readonly dataDir: string;
}

/** `master`, `replicator`, or the name or id of a node. */
export type Member = string;

export interface ClusterOptions {
  readonly nodes?: number;
  readonly copies?: number;
  /** Whether the launcher starts again what died; by default it does not. */
  readonly restart?: boolean;
  readonly environment?: Readonly<Record<string, string>>;
  /** The directory of an earlier cluster, to start it again. */
  readonly dataDir?: string;
  readonly args?: readonly string[];
}

/** So short that a test sees in seconds what takes minutes otherwise; and no trash, so that what lies on the disks is what files need. */
export const shortTimes: Readonly<Record<string, string>> = {
  DFS_HEARTBEAT_EVERY: '300ms',
  DFS_NODE_TIMEOUT: '2s',
  DFS_GC_GRACE: '2s',
  DFS_UPLOAD_IDLE: '10s',
  DFS_TRASH_TTL: '0',
};

/** Starts `dfs up` on ports of its own and resolves once it is ready. Rejects with what it printed; nothing keeps running then. */
export async function startCluster(options: ClusterOptions = {}): Promise<LocalCluster> {
  const { nodes = 3, copies = Math.min(3, nodes), restart = false, args = [] } = options;
  const dataDir = options.dataDir ?? join(temporaryDirectory('store'), 'data');
  const environment = {
    ...userEnvironment(temporaryDirectory('home')),
    ...shortTimes,
    ...options.environment,
  };
  const command = ['up', '--data', dataDir, '--port', '0', '--nodes', String(nodes)];
  const more = ['--copies', String(copies), ...(restart ? [] : ['--no-restart']), ...args];
  const launcher = startDfs([...command, ...more], { environment });
  try {
    await launcher.printed(/dfs is ready/, 90_000);
    return await LocalCluster.of(launcher, dataDir, environment);
  } catch (error) {
    launcher.kill('SIGKILL');
    throw error;
  }
}

/** A cluster that `dfs up` runs. */
export class LocalCluster extends Store {
  readonly launcher: Program;
  readonly dataDir: string;
  override readonly url: string;
  override readonly key: string;
  override readonly environment: Readonly<Record<string, string | undefined>>;
  readonly #first: ClusterFile;
  readonly #suspended = new Set<number>();

  private constructor(
    launcher: Program,
    facts: Pick<LocalCluster, 'dataDir' | 'environment' | 'key'> & { first: ClusterFile },
  ) {
    super();
    this.launcher = launcher;
    this.dataDir = facts.dataDir;
    this.environment = facts.environment;
    this.key = facts.key;
    this.#first = facts.first;
    this.url = facts.first.url;
  }

  static async of(
    launcher: Program,
    dataDir: string,
    environment: Readonly<Record<string, string | undefined>>,
  ): Promise<LocalCluster> {
    const text = await readFile(join(dataDir, 'cluster.json'), 'utf8');
    const first = JSON.parse(text) as ClusterFile;
    const key = (await readFile(first.keyFile, 'utf8')).trim();
    return new LocalCluster(launcher, { dataDir, environment, key, first });
  }

  /** `cluster.json` as it stands now. */
  file(): ClusterFile {
    return JSON.parse(readFileSync(join(this.dataDir, 'cluster.json'), 'utf8')) as ClusterFile;
  }

  get managementUrl(): string {
    return this.#first.managementUrl;
  }

  override nodeDirectories(): string[] {
    return this.#first.nodes.map((node) => node.dataDir);
  }

  node(member: Member): NodeEntry {
    const found = this.file().nodes.find(({ id, name }) => id === member || name === member);
    if (found) return found;
    throw new Error(`No node ${member} in cluster.json.`);
  }

  pidOf(member: Member): number {
    const file = this.file();
    if (member === 'master') return file.master.pid;
    return member === 'replicator' ? file.replicator.pid : this.node(member).pid;
  }

  /** The processes that `cluster.json` names. */
  pids(): number[] {
    const { master, replicator, nodes } = this.file();
    return [master.pid, replicator.pid, ...nodes.map((node) => node.pid)];
  }

  /** Sends a signal to one of the programs; by default it dies at once, and this resolves when it is gone. */
  async kill(member: Member, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const pid = this.pidOf(member);
    process.kill(pid, signal);
    if (signal === 'SIGSTOP') this.#suspend(pid);
    else if (signal === 'SIGCONT') this.#resume(pid);
    else await waitForEnd([pid]);
  }

  /** Resolves once the launcher brought back what was killed: another process, and `cluster.json` says so. */
  waitForRestart(member: Member, pidBefore: number): Promise<number> {
    return waitUntil(
      `${member} to be back`,
      () => {
        const pid = this.pidOf(member);
        return pid !== pidBefore && isAlive(pid) ? pid : undefined;
      },
      { withinMs: 60_000 },
    );
  }

  /** All that the programs logged. */
  logs(): string {
    const folder = join(this.dataDir, 'logs');
    return readdirSync(folder)
      .map((name) => readFileSync(join(folder, name), 'utf8'))
      .join('\n');
  }

  /** What the launcher said and what each program logged last, for a test that cannot go on. */
  lastWords(): string {
    const folder = join(this.dataDir, 'logs');
    const logs = readdirSync(folder).map((name) => {
      const lines = readFileSync(join(folder, name), 'utf8').trim().split('\n');
      const last = lines.slice(-12).map((line) => line.slice(0, 400));
      return `--- ${name}\n${last.join('\n')}`;
    });
    return [`--- dfs up`, this.launcher.output, ...logs].join('\n');
  }

  /** Ctrl-C. Resolves when the launcher and all its programs ended. */
  async stop(): Promise<Finished> {
    const pids = this.pids();
    const finished = await this.launcher.stop('SIGINT');
    await waitForEnd(pids);
    return finished;
  }

  /** Ends everything, in whatever state a test left it. */
  async dispose(): Promise<void> {
    for (const pid of this.#suspended) this.#signal(pid, 'SIGCONT');
    if (!this.launcher.hasEnded) await this.launcher.stop('SIGINT');
  }

  #suspend(pid: number): void {
    this.#suspended.add(pid);
    // A suspended process does not notice that its launcher died.
    watchProcess(pid);
  }

  #resume(pid: number): void {
    this.#suspended.delete(pid);
    forgetProcess(pid);
  }

  #signal(pid: number, signal: NodeJS.Signals): void {
    try {
      process.kill(pid, signal);
    } catch {
      // It is gone already.
    }
    this.#resume(pid);
  }
}

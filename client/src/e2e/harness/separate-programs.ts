import { randomBytes } from 'node:crypto';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { FaultyNodeProxy } from './faulty-node-proxy.ts';
import { temporaryDirectory } from './guard.ts';
import { sendHttp } from './http.ts';
import { shortTimes } from './local-cluster.ts';
import { childrenOf, type Program, startDfs, userEnvironment } from './program.ts';
import { Store } from './store.ts';
import { InVain, waitUntil } from './wait-until.ts';

/** A port of 127.0.0.1 that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ port: 0, host: '127.0.0.1' }, () => {
      const address = server.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

export interface SeparateProgramsOptions {
  /** How many storage nodes to begin with. */
  readonly nodes?: number;
  /** Whether each has a public listener of its own. */
  readonly publicNodes?: boolean;
  readonly copies?: number;
  /** Whether others reach each node through a proxy that can break. */
  readonly proxied?: boolean;
  readonly replicator?: boolean;
  readonly environment?: Readonly<Record<string, string>>;
  /** PEM; all programs are to speak HTTPS then, and the environment says with what. */
  readonly ca?: string;
  /** Of an earlier master. */
  readonly masterDir?: string;
  /** Of an earlier cluster. */
  readonly key?: string;
}

export interface NodeOptions {
  readonly name: string;
  readonly dataDir?: string;
  readonly port?: number;
  readonly proxied?: boolean;
  readonly key?: string;
  readonly zone?: string;
  /** With a public listener of its own. */
  readonly isPublic?: boolean;
}

/** A storage node that `dfs node` runs. */
export interface SeparateNode {
  readonly name: string;
  readonly dataDir: string;
  readonly port: number;
  readonly program: Program;
  /** Of its public listener; only where that was asked for. */
  readonly publicUrl: string | undefined;
  /** Only where it was asked for. */
  readonly proxy: FaultyNodeProxy | undefined;
}

/** Starts a master, nodes and a replicator one by one, each with its own command, as on several machines. */
export async function startSeparatePrograms(
  options: SeparateProgramsOptions = {},
): Promise<SeparatePrograms> {
  const programs = await SeparatePrograms.startMaster(options);
  try {
    if (options.replicator ?? true) programs.startReplicator();
    const count = options.nodes ?? 2;
    const names = Array.from({ length: count }, (_, index) => `node-${index + 1}`);
    const proxied = options.proxied ?? false;
    const isPublic = options.publicNodes ?? false;
    await Promise.all(names.map((name) => programs.startNode({ name, proxied, isPublic })));
    return programs;
  } catch (error) {
    await programs.dispose();
    throw error;
  }
}

export class SeparatePrograms extends Store {
  override readonly url: string;
  readonly managementUrl: string;
  override readonly key: string;
  /** Which all programs read. */
  readonly keyFile: string;
  override readonly ca: string | undefined;
  override readonly environment: Readonly<Record<string, string | undefined>>;
  readonly masterDir: string;
  master: Program;
  readonly nodeList: SeparateNode[] = [];
  readonly #programs: Program[] = [];
  readonly #programEnvironment: Readonly<Record<string, string | undefined>>;

  private constructor(
    facts: Pick<
      SeparatePrograms,
      'url' | 'managementUrl' | 'key' | 'keyFile' | 'ca' | 'environment' | 'masterDir'
    >,
    programEnvironment: Readonly<Record<string, string | undefined>>,
    master: Program,
  ) {
    super();
    this.url = facts.url;
    this.managementUrl = facts.managementUrl;
    this.key = facts.key;
    this.keyFile = facts.keyFile;
    this.ca = facts.ca;
    this.environment = facts.environment;
    this.masterDir = facts.masterDir;
    this.master = master;
    this.#programEnvironment = programEnvironment;
    this.#programs.push(master);
  }

  /** The master alone; resolves when it answers, ready or not. */
  static async startMaster(options: SeparateProgramsOptions): Promise<SeparatePrograms> {
    const home = temporaryDirectory('home');
    const key = options.key ?? randomBytes(16).toString('hex');
    const keyFile = join(home, 'cluster.key');
    writeFileSync(keyFile, key, { mode: 0o600 });
    const [port, managementPort] = [await freePort(), await freePort()];
    const scheme = options.ca === undefined ? 'http' : 'https';
    const url = `${scheme}://127.0.0.1:${port}`;
    const user = userEnvironment(home);
    const programEnvironment = {
      ...user,
      ...shortTimes,
      DFS_HOST: '127.0.0.1',
      DFS_CLUSTER_KEY_FILE: keyFile,
      DFS_COPIES: String(options.copies ?? 2),
      ...options.environment,
    };
    const masterDir = options.masterDir ?? temporaryDirectory('master');
    const ports = ['--port', String(port), '--management-port', String(managementPort)];
    const master = startDfs(['master', '--data', masterDir, ...ports], {
      environment: programEnvironment,
    });
    const facts = {
      url,
      managementUrl: `${scheme}://127.0.0.1:${managementPort}`,
      key,
      keyFile,
      ca: options.ca,
      environment: {
        ...user,
        DFS_URL: url,
        DFS_KEY: key,
        DFS_TLS_CA: options.environment?.['DFS_TLS_CA'],
      },
      masterDir,
    };
    const programs = new SeparatePrograms(facts, programEnvironment, master);
    try {
      await waitForHealth(url, master, options.ca);
    } catch (error) {
      await programs.dispose();
      throw error;
    }
    return programs;
  }

  override nodeDirectories(): string[] {
    return this.nodeList.map((node) => node.dataDir);
  }

  node(name: string): SeparateNode {
    const found = this.nodeList.find((node) => node.name === name);
    if (found) return found;
    throw new Error(`No node ${name} was started.`);
  }

  /** The program itself, which its `dfs node` command started. */
  pidOfNode(name: string): number {
    const [pid] = childrenOf(this.node(name).program.pid);
    if (pid === undefined) throw new Error(`The command of ${name} runs no program.`);
    return pid;
  }

  /** The same of the master. */
  pidOfMaster(): number {
    const [pid] = childrenOf(this.master.pid);
    if (pid === undefined) throw new Error('The command of the master runs no program.');
    return pid;
  }

  /** The master dies at once and is started again on its database, at its old ports. */
  async restartMaster(): Promise<void> {
    await this.#killMaster();
    await this.#startMaster();
  }

  /** The same, but its database is deleted in between. Resolves when the nodes told the new one that it is not theirs. */
  async loseDatabase(): Promise<void> {
    await this.#killMaster();
    const lost = readdirSync(this.masterDir).filter((name) => name.startsWith('metadata'));
    if (lost.length === 0) throw new Error(`${this.masterDir} holds no database.`);
    for (const name of lost) rmSync(join(this.masterDir, name));
    await this.#startMaster();
    await this.waitForRecovery();
  }

  /** Resolves when the master waits for a database. */
  async waitForRecovery(): Promise<void> {
    await waitUntil('the master to notice', async () => {
      const { health } = await this.status();
      return health === 'recovery';
    });
  }

  async #killMaster(): Promise<void> {
    const [pid] = childrenOf(this.master.pid);
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
    await this.master.finished;
  }

  async #startMaster(): Promise<void> {
    const portOf = (url: string) => new URL(url).port;
    const ports = ['--port', portOf(this.url), '--management-port', portOf(this.managementUrl)];
    this.master = startDfs(['master', '--data', this.masterDir, ...ports], {
      environment: this.#programEnvironment,
    });
    this.#programs.unshift(this.master);
    await waitForHealth(this.url, this.master, this.ca);
  }

  /** Runs `dfs node` and resolves when the master takes it for up. One of the same name takes the place of an earlier one. */
  async startNode(options: NodeOptions): Promise<SeparateNode> {
    const node = await this.launchNode(options);
    try {
      const own = `${new URL(this.url).protocol}//127.0.0.1:${node.port}`;
      await waitForHealth(own, node.program, this.ca);
      await waitUntil(`${node.name} to register`, async () => {
        if (node.program.hasEnded) throw new InVain(node.program.output);
        const url = node.proxy?.url ?? own;
        const known = (await this.nodes()).find(({ name }) => name === node.name);
        return known?.state === 'up' && known.url === url;
      });
    } catch (error) {
      node.program.kill('SIGKILL');
      await node.proxy?.close();
      throw error;
    }
    return node;
  }

  /** Runs `dfs node` and waits for nothing. */
  async launchNode(options: NodeOptions): Promise<SeparateNode> {
    const { name, proxied = false, isPublic = false } = options;
    const dataDir = options.dataDir ?? temporaryDirectory(name);
    const port = options.port ?? (await freePort());
    const publicPort = isPublic ? await freePort() : undefined;
    const proxy = proxied ? await FaultyNodeProxy.start(port) : undefined;
    const where = ['--data', dataDir, '--port', String(port), '--name', name];
    const program = startDfs(['node', ...where, '--master', this.managementUrl], {
      environment: {
        ...this.#programEnvironment,
        ...(options.key === undefined ? {} : { DFS_CLUSTER_KEY: options.key }),
        ...(options.zone === undefined ? {} : { DFS_ZONE: options.zone }),
        ...(proxy ? { DFS_NODE_URL: proxy.url } : {}),
        ...(publicPort === undefined ? {} : { DFS_NODE_PUBLIC_PORT: String(publicPort) }),
      },
    });
    this.#programs.push(program);
    const scheme = this.ca === undefined ? 'http' : 'https';
    const publicUrl = publicPort === undefined ? undefined : `${scheme}://127.0.0.1:${publicPort}`;
    const node = { name, dataDir, port, program, proxy, publicUrl };
    const place = this.nodeList.findIndex((other) => other.name === name);
    this.nodeList.splice(place < 0 ? this.nodeList.length : place, place < 0 ? 0 : 1, node);
    return node;
  }

  startReplicator(environment: Readonly<Record<string, string>> = {}): Program {
    const program = startDfs(['replicator', '--master', this.managementUrl], {
      environment: { ...this.#programEnvironment, ...environment },
    });
    this.#programs.push(program);
    return program;
  }

  /** Ends everything, in whatever state a test left it. */
  async dispose(): Promise<void> {
    // The last one started is the first to go, so that the master goes last.
    for (const program of this.#programs.toReversed()) {
      if (program.hasEnded) continue;
      program.kill('SIGCONT');
      await program.stop('SIGTERM');
    }
    await Promise.all(this.nodeList.map((node) => node.proxy?.close()));
  }
}

async function waitForHealth(url: string, program: Program, ca?: string): Promise<void> {
  await waitUntil(`an answer from ${url}`, async () => {
    if (program.hasEnded) throw new InVain(program.output);
    return (
      (await sendHttp(url, { path: '/healthz', ...(ca === undefined ? {} : { ca }) })).status ===
      200
    );
  });
}

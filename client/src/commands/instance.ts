import { networkInterfaces } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { configFileOf, dataDirOf } from '../client-config.ts';
import { writeWhole } from '../launch/cluster-file.ts';
import { firstNodePort, LocalCluster } from '../launch/local-cluster.ts';
import { portOrAny } from '../launch/ports.ts';
import { LaunchError } from '../launch/program.ts';
import { makeWritable } from '../launch/writable-directory.ts';
import { runOneProgram } from './run-program.ts';
import { waitForStop } from './up.ts';

export interface InstanceOptions {
  readonly data?: string;
  readonly name?: string;
  readonly gossip?: string;
  /** Public; 0: a free one, for all ports. */
  readonly port: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * `dfs instance`: what a container runs. Alone it is a whole store with one node; with a gossip instance, or a master, it is a further node of that store. Gives the exit code. Rejects
 * with `LaunchError`.
 */
export async function instance(
  options: InstanceOptions,
  environment: Environment,
): Promise<number> {
  const dataDir = resolve(options.data ?? dataDirOf(environment));
  const name = options.name ?? (environment['DFS_INSTANCE_NAME'] || environment['INSTANCE_NAME']);
  const gossip = options.gossip ?? environment['GOSSIP_INSTANCE'];
  await makeWritable(dataDir, { what: 'data directory', advice: 'Choose another with --data.' });
  if (gossip?.trim() || environment['DFS_MASTER_URL']?.trim()) {
    return await runOneProgram('storage-node', {
      DFS_DATA: join(dataDir, 'node-1'),
      DFS_NODE_NAME: environment['DFS_NODE_NAME'] || name,
      GOSSIP_INSTANCE: gossip,
      DFS_PORT:
        environment['DFS_PORT'] || String(options.port === 0 ? 0 : await portOrAny(firstNodePort)),
      DFS_NODE_PUBLIC_PORT: environment['DFS_NODE_PUBLIC_PORT'] || String(options.port),
    });
  }
  await runAlone(dataDir, { ...options, ...(name ? { name } : {}) }, environment);
  return 0;
}

async function runAlone(
  dataDir: string,
  { name, port }: InstanceOptions,
  environment: Environment,
): Promise<void> {
  const say = (line: string) => void process.stdout.write(`${line}\n`);
  const cluster = new LocalCluster({
    dataDir,
    nodeCount: 1,
    port,
    copies: undefined,
    restart: true,
    open: { name, address: ownAddress() },
    environment,
    say,
  });
  const stopAsked = waitForStop();
  const first = await Promise.race([cluster.start(), stopAsked]);
  if (first !== undefined) {
    await configureCommand(first.url, await cluster.readKey(), environment).catch(async (error) => {
      await cluster.stop();
      throw error;
    });
    say(`dfs serves at ${first.url}, node ${first.nodes[0]?.name}; logs are in ${cluster.logDir}.`);
    await stopAsked;
  }
  await cluster.stop();
}

/** So that `dfs` finds the store when it is called beside this process. */
async function configureCommand(url: string, key: string, environment: Environment) {
  const file = configFileOf(environment);
  const made = { what: "configuration's directory", advice: 'Name another with XDG_CONFIG_HOME.' };
  await makeWritable(dirname(file), made);
  try {
    await writeWhole(file, `${JSON.stringify({ url, key }, null, 2)}\n`, 0o600);
  } catch (error) {
    throw new LaunchError(`${file} cannot be written: ${(error as Error).message}`);
  }
}

/** By which other machines reach this one, as far as it knows: the first that is not loopback's, IPv4 before IPv6. */
function ownAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const others = all.filter(({ internal, scopeid }) => !internal && !scopeid);
  const found = others.find(({ family }) => family === 'IPv4') ?? others[0];
  if (found === undefined) return '127.0.0.1';
  return found.family === 'IPv6' ? `[${found.address}]` : found.address;
}

import { dirname, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { whyNotMade } from '@dfs/shared';
import { configFileOf, dataDirOf } from '../client-config.ts';
import { findRunningCluster, writeWhole } from '../launch/cluster-file.ts';
import { LocalCluster } from '../launch/local-cluster.ts';
import { LaunchError } from '../launch/program.ts';
import { carryOutReset, planReset } from '../launch/reset.ts';
import { makeWritable } from '../launch/writable-directory.ts';

export interface UpOptions {
  readonly data?: string;
  readonly nodes: number;
  readonly port: number;
  readonly copies?: number;
  readonly restart: boolean;
  readonly reset?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** `dfs up`: runs a whole cluster on this machine in the foreground until it is told to stop. Rejects with `LaunchError`. */
export async function up(options: UpOptions, environment: Environment): Promise<void> {
  const dataDir = resolve(options.data ?? dataDirOf(environment));
  const running = await findRunningCluster(dataDir);
  if (running) {
    throw new LaunchError(
      `A store runs on ${dataDir} already, at ${running.url} (pid ${running.launcher.pid}): stop it first, or choose another --data.`,
    );
  }
  const configFile = configFileOf(environment);
  await makeWritable(dirname(configFile), {
    what: "configuration's directory",
    advice: 'Name another with the variable XDG_CONFIG_HOME.',
  });
  if (options.reset) await reset(dataDir, options.yes ?? false);
  await makeWritable(dataDir, { what: 'data directory', advice: 'Choose another with --data.' });
  // With --json standard output is for the one line that a program reads.
  const telling = options.json ? process.stderr : process.stdout;
  const say = (line: string) => void telling.write(`${line}\n`);
  const cluster = new LocalCluster({
    dataDir,
    nodeCount: options.nodes,
    port: options.port,
    copies: options.copies,
    restart: options.restart,
    environment,
    say,
  });
  const stopAsked = waitForStop();
  say(`Starting a master, ${nodesText(options.nodes)} and a replicator …`);
  const first = await Promise.race([cluster.start(), stopAsked]);
  if (first !== undefined) {
    try {
      const config = { url: first.url, key: await cluster.readKey() };
      await writeWhole(configFile, `${JSON.stringify(config, null, 2)}\n`, 0o600);
    } catch (error) {
      await cluster.stop();
      throw new LaunchError(
        `The configuration file ${configFile} cannot be written: ${whyNotMade(error)}. Name another place with the variable XDG_CONFIG_HOME.`,
      );
    }
    const text = options.json
      ? `${JSON.stringify(first)}\n`
      : welcome({ dataDir, cluster, url: first.url, configFile, options, environment });
    process.stdout.write(text);
    await stopAsked;
  }
  say('Stopping …');
  await cluster.stop();
  say('Stopped. The data stays where it is.');
}

const nodesText = (count: number) => (count === 1 ? 'one storage node' : `${count} storage nodes`);

function welcome(facts: {
  dataDir: string;
  cluster: LocalCluster;
  url: string;
  configFile: string;
  options: UpOptions;
  environment: Environment;
}): string {
  const { dataDir, cluster, url, configFile, options, environment } = facts;
  // Started by npm in a clone, the command is no word of the shell.
  const command = environment['npm_lifecycle_event'] === undefined ? 'dfs' : 'npx dfs';
  const copies = options.copies ?? environment['DFS_COPIES'] ?? Math.min(3, options.nodes);
  return `
dfs is ready.

  address   ${url}
  data      ${dataDir}   (${nodesText(options.nodes)}, up to ${copies} copies of each file)
  key       ${cluster.keyFile}   (the dfs command reads it from ${configFile})
  logs      ${cluster.logDir}

Try in another terminal:

  ${command} put README.md
  ${command} replicas README.md
  ${command} get README.md copy.md

Ctrl-C stops it.

`;
}

/** Resolves when the person, the system or the parent process asks to stop. A second request ends the process at once; the programs notice. */
export function waitForStop(): Promise<undefined> {
  return new Promise((resolveStop) => {
    let wasAsked = false;
    const ask = () => {
      if (wasAsked) process.exit(130);
      wasAsked = true;
      resolveStop(undefined);
    };
    process.on('SIGINT', ask);
    process.on('SIGTERM', ask);
    process.on('SIGHUP', ask);
    if (process.send) process.once('disconnect', ask);
  });
}

async function reset(dataDir: string, isAgreed: boolean): Promise<void> {
  const plan = await planReset(dataDir);
  if (plan.files.length === 0) return;
  if (!isAgreed) await agree(dataDir);
  await carryOutReset(plan);
}

async function agree(dataDir: string): Promise<void> {
  if (!process.stdin.isTTY) {
    throw new LaunchError(
      '--reset deletes every file of the store: add --yes where nobody can be asked.',
    );
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(
    `Delete every file of the store in ${dataDir}? Type "yes": `,
  );
  terminal.close();
  if (answer.trim() !== 'yes') throw new LaunchError('Nothing was deleted.');
}

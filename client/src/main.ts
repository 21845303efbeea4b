import { readFileSync } from 'node:fs';
import { ConfigurationError, StoreError } from '@dfs/shared';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { StoreApi } from './api.ts';
import { readClientConfig } from './client-config.ts';
import { exitCodeOf, exitCodes, exitCodesText } from './exit-codes.ts';
import { asksForJson, failureJson, failureText, outputFailure } from './failure.ts';
import type { ProgramName } from './launch/program.ts';

/** Read when asked: only `--version` needs it. */
const version = () =>
  (
    JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
      version: string;
    }
  ).version;

const api = () => new StoreApi(readClientConfig(process.env));

const wholeNumber = (least: number, most: number) => (text: string) => {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
};
const port = wholeNumber(0, 65_535);
const copies = wholeNumber(1, 16);
const directory = (text: string) => {
  if (text.trim() !== '') return text;
  throw new InvalidArgumentError('It is empty: name a directory, or leave it out.');
};
const json = () => new Option('--json', 'print JSON for programs, failures too');

function createProgram(): Command {
  const program = new Command('dfs')
    .description('A replicated file store on the machines you already have.')
    .configureHelp({ showGlobalOptions: true })
    .addHelpText(
      'after',
      `
The store's address and key come from DFS_URL and DFS_KEY (or DFS_KEY_FILE), else from the file that "dfs up" writes.

Exit codes:
${exitCodesText}

Examples:
  dfs up                          run a store on this machine
  dfs put report.pdf              store a file
  tar c photos | dfs put - photos.tar
  dfs get report.pdf              read it back
  dfs replicas report.pdf         see where its copies are`,
    );
  // Handled below, so that a wrong call has an exit code of its own.
  program.exitOverride();
  if (isJson) program.configureOutput({ outputError: () => {} });
  program.option('-V, --version', 'print the version');
  program.on('option:version', () => {
    process.stdout.write(`${version()}\n`);
    process.exit(0);
  });
  addFileCommands(program);
  addLookCommands(program);
  addProgramCommands(program);
  return program;
}

function addFileCommands(program: Command): void {
  program.commandsGroup('Files:');
  program
    .command('put')
    .description('store files')
    .argument(
      '<file...>',
      'local files, or - for standard input; the last one may be the target, see below',
    )
    .option('-t, --to <path>', 'where to: a path of the store, a directory when it ends in a slash')
    .addOption(
      new Option('--on-conflict <what>', 'when the name is taken')
        .choices(['rename', 'replace', 'fail'])
        .default('rename'),
    )
    .option('--public', 'readable without a key')
    .option('--min-copies <n>', 'answer once this many nodes hold it', copies)
    .option('--type <media type>', 'its content type; guessed from the name otherwise')
    .addOption(json())
    .addHelpText(
      'after',
      `
A name that is taken is kept: the new file gets a free one, which is printed.
The last argument is the target when it follows -, or when it starts or ends with a slash and is no local file.

Examples:
  dfs put report.pdf
  dfs put a.jpg b.jpg /photos/
  dfs put report.pdf --to /2026/final.pdf --on-conflict replace
  pg_dump shop | dfs put - /backups/shop.sql`,
    )
    .action(async (files: string[], options) => {
      const { put } = await import('./commands/put.ts');
      await put(api(), files, options);
    });
  program
    .command('get')
    .description('read a file')
    .argument('<path>', 'a path of the store, or id:<file id>')
    .argument(
      '[local]',
      'where to: a file, a directory, or - for standard output (default: its name, here)',
    )
    .addOption(json())
    .addHelpText(
      'after',
      '\nExamples:\n  dfs get report.pdf\n  dfs get /photos/a.jpg pictures/\n  dfs get /backups/shop.sql - | psql shop',
    )
    .action(async (path: string, local: string | undefined, options) => {
      const { get } = await import('./commands/get.ts');
      await get(api(), path, local, options);
    });
  program
    .command('ls')
    .description('list a directory')
    .argument('[path]', 'a directory of the store', '/')
    .option('-l, --long', 'sizes and times as well')
    .addOption(json())
    .addHelpText('after', '\nExample:\n  dfs ls -l /photos')
    .action(async (path: string, options) => {
      const { list } = await import('./commands/look.ts');
      await list(api(), path, options);
    });
}

function addLookCommands(program: Command): void {
  program.commandsGroup('Looking:');
  program
    .command('stat')
    .description('show what is known of a file or directory')
    .argument('<path>')
    .addOption(json())
    .addHelpText('after', '\nExample:\n  dfs stat report.pdf')
    .action(async (path: string, options) => {
      const { statPath } = await import('./commands/look.ts');
      await statPath(api(), path, options);
    });
  program
    .command('replicas')
    .description('show where the copies of a file are')
    .argument('<path>')
    .addOption(json())
    .addHelpText('after', '\nExample:\n  dfs replicas report.pdf')
    .action(async (path: string, options) => {
      const { replicas } = await import('./commands/look.ts');
      await replicas(api(), path, options);
    });
  program
    .command('nodes')
    .description('show the storage nodes')
    .addOption(json())
    .addHelpText('after', '\nExample:\n  dfs nodes')
    .action(async (options) => {
      const { nodes } = await import('./commands/look.ts');
      await nodes(api(), options);
    });
  program
    .command('log')
    .description('show every attempt at making a copy, newest last')
    .argument('[path]', 'only of this file, all of them')
    .option(
      '-n, --lines <n>',
      'the last n (default: 100, all with a path)',
      wholeNumber(1, 1_000_000),
    )
    .option('-f, --follow', 'go on with what comes')
    .addOption(json())
    .addHelpText('after', '\nExamples:\n  dfs log -n 20\n  dfs log report.pdf\n  dfs log --follow')
    .action(async (path: string | undefined, options) => {
      const { log } = await import('./commands/look.ts');
      await log(api(), path, options);
    });
  program
    .command('status')
    .description('say whether the data is safe')
    .addOption(json())
    .addHelpText('after', '\nExample:\n  dfs status')
    .action(async (options) => {
      const { status } = await import('./commands/look.ts');
      if (!(await status(api(), options))) process.exitCode = exitCodes.unavailable;
    });
}

function addProgramCommands(program: Command): void {
  program.commandsGroup('Running a store:');
  program
    .command('up')
    .description('run a whole store on this machine, in the foreground')
    .option(
      '--data <dir>',
      "where the data lies (default: dfs under the user's data directory)",
      directory,
    )
    .option('--nodes <n>', 'how many storage nodes', wholeNumber(1, 64), 3)
    .option('--port <port>', 'the public port; 0: a free one, for all ports', port, 7040)
    .option('--copies <n>', 'copies of each file (default: DFS_COPIES, else 3)', copies)
    .option('--no-restart', 'leave a program that died dead')
    .option(
      '--reset',
      'delete all data of the store first, after asking; what is not of the store stays',
    )
    .option('--yes', 'with --reset: do not ask')
    .option('--json', 'once all is ready, print what cluster.json holds, as one line of JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  dfs up\n  dfs up --data /srv/dfs --nodes 4 --copies 2\n  dfs up --data /tmp/trial --port 0',
    )
    .action(async (options) => {
      const { up } = await import('./commands/up.ts');
      await up(options, process.env);
    });
  addProgram(program, {
    command: 'master',
    module: 'master',
    description: 'run a master alone',
    example: 'DFS_CLUSTER_KEY_FILE=/etc/dfs/key dfs master --data /srv/dfs',
    settings: [
      ['--data <dir>', 'DFS_DATA', 'where its database lies'],
      ['--host <address>', 'DFS_HOST', 'the address to listen on'],
      ['--port <port>', 'DFS_PORT', 'the public port'],
      ['--management-port <port>', 'DFS_MANAGEMENT_PORT', 'the port for nodes and replicators'],
      ['--copies <n>', 'DFS_COPIES', 'copies of each file'],
      ['--min-copies <n>', 'DFS_MIN_COPIES', 'copies before a write is acknowledged'],
      ['--segment-bytes <size>', 'DFS_SEGMENT_BYTES', 'a longer file becomes several blobs'],
      ['--redis-url <url>', 'DFS_REDIS_URL', 'send jobs through this Redis'],
      ['--node-timeout <time>', 'DFS_NODE_TIMEOUT', 'a node silent for longer is down'],
      ['--replace-after <time>', 'DFS_REPLACE_AFTER', 'when a node that is down is made up for'],
      ['--heartbeat-every <time>', 'DFS_HEARTBEAT_EVERY', 'how often nodes report'],
      ['--gc-grace <time>', 'DFS_GC_GRACE', 'how long deleted content stays on nodes'],
      ['--instance-name <name>', 'DFS_INSTANCE_NAME', 'its name'],
      ['--log-keep <time>', 'DFS_LOG_KEEP', 'how long the log of copies is kept'],
    ],
  });
  addProgram(program, {
    command: 'node',
    module: 'storage-node',
    description: 'run a storage node alone',
    example:
      'DFS_CLUSTER_KEY_FILE=/etc/dfs/key dfs node --data /srv/dfs --name attic --master http://10.0.0.5:7041',
    settings: [
      ['--data <dir>', 'DFS_DATA', 'where its blobs lie'],
      ['--host <address>', 'DFS_HOST', 'the address to listen on'],
      ['--port <port>', 'DFS_PORT', 'its port'],
      ['--name <name>', 'DFS_NODE_NAME', 'its name'],
      ['--master <url>', 'DFS_MASTER_URL', "the master's management address"],
      ['--url <url>', 'DFS_NODE_URL', 'where others reach it'],
      ['--public-url <url>', 'DFS_NODE_PUBLIC_URL', 'where clients are sent to'],
      ['--zone <zone>', 'DFS_ZONE', 'copies are spread over zones'],
      ['--upload-idle <time>', 'DFS_UPLOAD_IDLE', 'how long a sender may pause'],
      ['--reserve-bytes <size>', 'DFS_RESERVE_BYTES', 'room that is kept back'],
      ['--slots <flag>', 'DFS_SLOTS', 'true: the data directory holds slots that nodes share'],
    ],
  });
  addProgram(program, {
    command: 'replicator',
    module: 'replicator',
    description: 'run a replicator alone',
    example: 'DFS_CLUSTER_KEY_FILE=/etc/dfs/key dfs replicator --master http://10.0.0.5:7041',
    settings: [
      ['--master <url>', 'DFS_MASTER_URL', "the master's management address"],
      ['--redis-url <url>', 'DFS_REDIS_URL', 'take jobs from this Redis'],
      ['--host <address>', 'DFS_HOST', 'the address to listen on'],
      ['--port <port>', 'DFS_PORT', 'a port for /healthz and /metrics'],
      ['--copy-concurrency <n>', 'DFS_COPY_CONCURRENCY', 'copies at the same time'],
    ],
  });
}

interface ProgramCommand {
  readonly command: string;
  readonly module: ProgramName;
  readonly description: string;
  readonly example: string;
  /** Flag, the variable that it stands for, and what it means. The program judges the values. */
  readonly settings: readonly (readonly [flag: string, variable: string, meaning: string])[];
}

function addProgram(program: Command, spec: ProgramCommand): void {
  const command = program.command(spec.command).description(spec.description);
  const settings = [...spec.settings, ...logSettings].map(([flag, variable, meaning]) => {
    const option = new Option(flag, `${meaning} (${variable})`);
    if (variable === 'DFS_DATA') option.argParser(directory);
    if (variable === 'DFS_LOG_FORMAT') option.choices(['text', 'json']);
    command.addOption(option);
    return [option.attributeName(), variable] as const;
  });
  command.addOption(
    new Option('--json', 'log in JSON, also on a terminal').implies({ logFormat: 'json' }),
  );
  command
    .addHelpText(
      'after',
      `\nThe README's table tells the defaults. Keys, and URLs that hold a password, are best variables or files: others on the machine see flags.\n\nExample:\n  ${spec.example}`,
    )
    .action(async (options: Readonly<Record<string, string>>) => {
      const { runOneProgram } = await import('./commands/run-program.ts');
      const values = settings.map(([name, variable]) => [variable, options[name]] as const);
      process.exitCode = await runOneProgram(spec.module, Object.fromEntries(values));
    });
}

const logSettings = [
  ['--log-level <level>', 'DFS_LOG_LEVEL', 'debug, info, warn or error'],
  ['--log-format <format>', 'DFS_LOG_FORMAT', 'lines for people or for programs'],
] as const;

const isJson = asksForJson(process.argv.slice(2));

/** Says an error in one or two lines, or as JSON, and gives the exit code. */
function report(error: unknown): number {
  if (error instanceof CommanderError) {
    // Without JSON commander said it already.
    if (isJson && error.message.startsWith('error: ')) {
      const message = error.message.replace('error: ', '');
      process.stderr.write(`${failureJson(new StoreError('invalid-request', message))}\n`);
    }
    return error.exitCode === 0 ? 0 : exitCodes.usage;
  }
  process.stderr.write(`${isJson ? failureJson(error) : failureText(error)}\n`);
  const known = error instanceof StoreError || error instanceof ConfigurationError;
  const isLaunch = error instanceof Error && error.name === 'LaunchError';
  if (!known && !isLaunch && process.env['DFS_DEBUG'])
    process.stderr.write(`${(error as Error).stack}\n`);
  return exitCodeOf(error);
}

function endWith(error: unknown): never {
  // Keep-alive connections would hold the process for seconds.
  process.exit(report(error));
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // A reader that closed the pipe (head, a pager) has all it wants.
  if (error.code === 'EPIPE') process.exit(0);
  // A command that waits for its bytes to be written tidies up and says it itself.
  setImmediate(() => endWith(outputFailure(error)));
});

try {
  await createProgram().parseAsync();
} catch (error) {
  endWith(error);
}

import { type Command, Option } from 'commander';
import type { ProgramName } from '../launch/program.ts';
import type { Session } from '../session.ts';
import { copies, directory, port, wholeNumber } from './arguments.ts';

/** Programs that run until they are stopped. */
export function addRunningCommands(program: Command, session: Session): void {
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
      const { up } = await import('../commands/up.ts');
      await up(options, session.environment);
    });
  program
    .command('instance')
    .description('run one instance, as a container does: a store of one node, or a node of a store')
    .option(
      '--data <dir>',
      "where the data lies (default: dfs under the user's data directory)",
      directory,
    )
    .option('--name <name>', 'its name (INSTANCE_NAME)')
    .option('--gossip <host:port>', 'join the store that answers there (GOSSIP_INSTANCE)')
    .option('--port <port>', 'the public port; 0: a free one, for all ports', port, 80)
    .addHelpText(
      'after',
      '\nIt listens at all addresses: the key is that of SHARD_KEY (or DFS_CLUSTER_KEY), which all instances share. Other instances report to the first one at DFS_MANAGEMENT_PORT (7041), which must be free there.\n\nExamples:\n  SHARD_KEY=… dfs instance --name Kalahari\n  SHARD_KEY=… dfs instance --name Sahara --gossip 10.0.0.5 --data /srv/sahara',
    )
    .action(async (options) => {
      const { instance } = await import('../commands/instance.ts');
      process.exitCode = await instance(options, session.environment);
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
      [
        '--repair-bytes-per-second <size>',
        'DFS_REPAIR_BYTES_PER_SECOND',
        'what repair may copy per second',
      ],
      ['--heartbeat-every <time>', 'DFS_HEARTBEAT_EVERY', 'how often nodes report'],
      ['--gc-grace <time>', 'DFS_GC_GRACE', 'how long deleted content stays on nodes'],
      [
        '--trash-ttl <time>',
        'DFS_TRASH_TTL',
        'how long what is removed or replaced can be brought back',
      ],
      ['--instance-name <name>', 'DFS_INSTANCE_NAME', 'its name'],
      ['--public-url <url>', 'DFS_PUBLIC_URL', 'the base of the links that it makes'],
      ['--trusted-proxies <networks>', 'DFS_TRUSTED_PROXIES', 'whose X-Forwarded headers count'],
      ['--cors-origins <origins>', 'DFS_CORS_ORIGINS', 'whose pages may use the public port'],
      ['--management-url <url>', 'DFS_MANAGEMENT_URL', 'where registering nodes report'],
      ['--log-keep <time>', 'DFS_LOG_KEEP', 'how long the log of copies is kept'],
      [
        '--hot-reads <n>',
        'DFS_HOT_READS',
        'a file read more often per minute is cached on further nodes',
      ],
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
      ['--gossip <host:port>', 'GOSSIP_INSTANCE', 'a public port that tells where the master is'],
      ['--url <url>', 'DFS_NODE_URL', 'where others reach it'],
      ['--public-url <url>', 'DFS_NODE_PUBLIC_URL', 'where clients are sent to'],
      ['--public-port <port>', 'DFS_NODE_PUBLIC_PORT', 'a port of its own for users'],
      ['--public-host <address>', 'DFS_NODE_PUBLIC_HOST', 'the address of that port'],
      [
        '--offline-rights <time>',
        'DFS_OFFLINE_RIGHTS',
        'how long it serves what was public while the master is silent',
      ],
      ['--trusted-proxies <networks>', 'DFS_TRUSTED_PROXIES', 'whose X-Forwarded headers count'],
      ['--cors-origins <origins>', 'DFS_CORS_ORIGINS', 'whose pages may use the public port'],
      ['--zone <zone>', 'DFS_ZONE', 'copies are spread over zones'],
      ['--heartbeat-every <time>', 'DFS_HEARTBEAT_EVERY', 'how often it reports at first'],
      ['--upload-idle <time>', 'DFS_UPLOAD_IDLE', 'how long a sender may pause'],
      ['--reserve-bytes <size>', 'DFS_RESERVE_BYTES', 'room that is kept back'],
      ['--cache-bytes <size>', 'DFS_CACHE_BYTES', 'room for copies that readers have fetched'],
      ['--scrub-every <time>', 'DFS_SCRUB_EVERY', 'each blob is read again within this time'],
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
  const settings = [...spec.settings, ...sharedSettings].map(([flag, variable, meaning]) => {
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
      const { runOneProgram } = await import('../commands/run-program.ts');
      const values = settings.map(([name, variable]) => [variable, options[name]] as const);
      process.exitCode = await runOneProgram(spec.module, Object.fromEntries(values));
    });
}

const sharedSettings = [
  ['--tls-cert <file>', 'DFS_TLS_CERT', 'the certificate of its listeners, PEM: they speak HTTPS'],
  ['--tls-key <file>', 'DFS_TLS_KEY', "the certificate's private key"],
  ['--tls-ca <file>', 'DFS_TLS_CA', 'certificates that may vouch for the other programs'],
  ['--log-level <level>', 'DFS_LOG_LEVEL', 'debug, info, warn or error'],
  ['--log-format <format>', 'DFS_LOG_FORMAT', 'lines for people or for programs'],
] as const;

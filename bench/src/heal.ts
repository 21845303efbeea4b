import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { inNewDirectory, runAsProgram, sayAs } from './bench-program.ts';
import { type Cluster, startCluster } from './cluster.ts';
import { HealLoad } from './heal-load.ts';
import { currentCommit, resultsDirectory } from './results.ts';

const usage = `npm run bench:heal -- [options]

Four nodes, copies 2; one is killed with DFS_REPLACE_AFTER=0 while files are read and written (minCopies=2) all the
time. Missed (exit code 1): a failed read or write, or more than --limit seconds from the moment the master takes the
node for down until all copies are whole again.

  --files N        files to begin with (5000)
  --kib N          their size in KiB (100)
  --readers N      that read all the time (2)
  --writers N      that write all the time (2)
  --limit N        seconds allowed from detection to full copies (60)
  --dir DIR        where the store lies (bench/results, which is on a disk)
  --json           prints the result as JSON
`;

const flags = {
  files: { type: 'string', default: '5000' },
  kib: { type: 'string', default: '100' },
  readers: { type: 'string', default: '2' },
  writers: { type: 'string', default: '2' },
  limit: { type: 'string', default: '60' },
  dir: { type: 'string', default: resultsDirectory },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

const nodeCount = 4;
const copies = 2;
const fillLanes = 16;
const calmBeforeMs = 3_000;
const pollMs = 50;
const tellEveryMs = 2_000;
/** Past any limit: then it is given up. */
const waitMaxMs = 600_000;

interface Status {
  readonly health: string;
  readonly replicas: { readonly wanted: number; readonly corrupt: number };
  readonly blobsShort: number;
  readonly away: readonly {
    readonly node: { readonly name: string };
    readonly isReplaced: boolean;
  }[];
  readonly healing: { readonly copies: number; readonly bytesPerSecond: number };
}

async function main(argv: string[]): Promise<number> {
  const { values } = parseArgs({ args: argv, options: flags });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  return inNewDirectory(values.dir, 'heal', async (directory) => {
    const report = await measure(directory, {
      files: Number(values.files),
      sizeBytes: Number(values.kib) * 1024,
      readers: Number(values.readers),
      writers: Number(values.writers),
      limitSeconds: Number(values.limit),
    });
    await mkdir(resultsDirectory, { recursive: true });
    const text = `${JSON.stringify(report, undefined, 2)}\n`;
    const name = `heal-${report.startedAt.replaceAll(':', '-')}.json`;
    await writeFile(join(resultsDirectory, name), text);
    process.stdout.write(values.json ? text : `\n${textOf(report)}`);
    return report.isMet ? 0 : 1;
  });
}

interface HealOptions {
  readonly files: number;
  readonly sizeBytes: number;
  readonly readers: number;
  readonly writers: number;
  readonly limitSeconds: number;
}

async function measure(directory: string, options: HealOptions) {
  const startedAt = new Date();
  say(`starting ${nodeCount} nodes, copies ${copies}`);
  const cluster = await startCluster({
    directory,
    copies,
    nodes: nodeCount,
    environment: { DFS_REPLACE_AFTER: '0' },
  });
  const load = new HealLoad(cluster.target, options.sizeBytes);
  try {
    say(`storing ${options.files} files of ${options.sizeBytes / 1024} KiB`);
    await load.fill(options.files, fillLanes);
    await until('all copies', async () => (await statusOf(cluster)).health === 'whole');
    say('reading and writing; one node is killed');
    const running = load.run(options);
    await delay(calmBeforeMs);
    const killedAtMs = performance.now();
    const victim =
      cluster.processes.find(({ name }) => name === 'node-4') ?? cluster.processes.at(-1);
    process.kill(victim?.pid ?? 0, 'SIGKILL');
    const detectedAtMs = await until('the node to be taken for down', async () => {
      return (await statusOf(cluster)).away.length > 0;
    });
    say('it is taken for down; its copies are made elsewhere');
    const copiesAtDetection = (await statusOf(cluster)).healing.copies;
    let toldAtMs = 0;
    const wholeAtMs = await until('full copies', async () => {
      const status = await statusOf(cluster);
      if (performance.now() - toldAtMs > tellEveryMs) {
        toldAtMs = performance.now();
        const isFound = status.away.every(({ isReplaced }) => isReplaced);
        say(`${status.healing.copies} copies to go${isFound ? '' : ', more are being looked for'}`);
      }
      return isWhole(status);
    });
    load.stop();
    const figures = await running;
    say('all is whole; every file is read once more');
    const lost = await load.verify(fillLanes);
    const healSeconds = seconds(wholeAtMs - detectedAtMs);
    const { failedReads, failedWrites } = figures;
    return {
      startedAt: startedAt.toISOString(),
      commit: await currentCommit(),
      machine: { processors: cpus().length, processor: cpus()[0]?.model.trim() ?? 'unknown' },
      settings: { nodes: nodeCount, copies, ...options },
      detectionSeconds: seconds(detectedAtMs - killedAtMs),
      healSeconds,
      copiesAtDetection,
      reads: figures.reads,
      writes: figures.writes,
      failedReads: failedReads.length,
      failedWrites: failedWrites.length,
      slowestReadMs: figures.slowestReadMs,
      slowestWriteMs: figures.slowestWriteMs,
      failures: [...failedReads, ...failedWrites].filter((text) => text !== '').slice(0, 20),
      unreadableAfterwards: lost.length,
      isMet:
        failedReads.length + failedWrites.length + lost.length === 0 &&
        healSeconds <= options.limitSeconds,
    };
  } finally {
    load.stop();
    load.close();
    await cluster.stop().catch((error: Error) => say(error.message));
  }
}

type HealReport = Awaited<ReturnType<typeof measure>>;

/** A node is away, and what lay on it is stored elsewhere; not a moment between two pages of the search for it. */
const isWhole = ({ health, away, replicas, blobsShort }: Status) =>
  health === 'whole' &&
  away.length > 0 &&
  away.every(({ isReplaced }) => isReplaced) &&
  replicas.wanted + replicas.corrupt + blobsShort === 0;

async function statusOf({ target }: Cluster): Promise<Status> {
  const { host, port, authorization } = target;
  const answer = await fetch(`http://${host}:${port}/api/v1/status`, {
    headers: { authorization },
  });
  if (!answer.ok) throw new Error(`The status answers ${answer.status}.`);
  return (await answer.json()) as Status;
}

/** Resolves with the time at which it was seen to hold, by the monotonic clock. */
async function until(what: string, holds: () => Promise<boolean>): Promise<number> {
  const deadlineMs = performance.now() + waitMaxMs;
  while (performance.now() < deadlineMs) {
    if (await holds()) return performance.now();
    await delay(pollMs);
  }
  throw new Error(`${what}: not within ${waitMaxMs / 1000} s.`);
}

const seconds = (ms: number) => Math.round(ms / 10) / 100;
const say = sayAs('heal');

function textOf(report: HealReport): string {
  const { settings, isMet } = report;
  const failures = report.failures.map((failure) => `  ${failure}\n`).join('');
  return [
    `one of ${settings.nodes} nodes killed, copies ${settings.copies}, ${settings.files} files of ${settings.sizeBytes / 1024} KiB`,
    `detected after        ${report.detectionSeconds} s`,
    `whole after that      ${report.healSeconds} s (at most ${settings.limitSeconds} s)`,
    `reads                 ${report.reads}, ${report.failedReads} failed, slowest ${report.slowestReadMs} ms`,
    `writes (minCopies=2)  ${report.writes}, ${report.failedWrites} failed, slowest ${report.slowestWriteMs} ms`,
    `unreadable afterwards ${report.unreadableAfterwards}`,
    `${failures}${isMet ? 'met' : 'MISSED'}`,
    '',
  ].join('\n');
}

runAsProgram('heal', main);

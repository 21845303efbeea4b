import { mkdir, mkdtemp, rm, statfs } from 'node:fs/promises';
import { cpus, release, tmpdir, totalmem, type } from 'node:os';
import { join } from 'node:path';
import type { BenchCase } from './bench-case.ts';
import { type GroupResult, runCaseGroup } from './case-group.ts';
import { cases } from './cases.ts';
import { LoadProcess } from './load-process.ts';
import type { BenchOptions } from './options.ts';
import type { BenchReport } from './report.ts';
import { currentCommit, resultsDirectory } from './results.ts';

const tmpfsMagic = 0x01021994;
const gibibyte = 1024 ** 3;

/**
 * Runs the chosen cases and leaves nothing behind. Rejects when a server could not be started or
 * the load generator could not run; requests that failed are counted in the report.
 */
export async function runBench(options: BenchOptions): Promise<BenchReport> {
  const chosen = chooseCases(options);
  const startedAt = new Date();
  const directory = await makeWorkDirectory(options, chosen);
  const load = new LoadProcess();
  // The job under way then fails, and everything is taken down on the usual way out.
  const interrupt = () => void load.stop();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  let roundNumber = 0;
  try {
    const groups: GroupResult[] = [];
    for (const copies of new Set(chosen.map((each) => each.copies))) {
      const group = chosen.filter((each) => each.copies === copies);
      const result = await runCaseGroup(group, {
        options,
        load,
        copies,
        // Removed with the others at the end: freeing gigabytes slows down what comes next.
        directory: join(directory, `copies-${copies}`),
        nextRoundNumber: () => {
          roundNumber += 1;
          return roundNumber;
        },
        // Progress goes to stderr: stdout carries the result alone.
        say: (progress) => process.stderr.write(progress),
      });
      groups.push(result);
    }
    return await makeReport(options, startedAt, groups);
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    await load.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

function chooseCases({ only }: BenchOptions): BenchCase[] {
  if (only.length === 0) return [...cases];
  const isName = (name: string) => cases.some((each) => each.name === name);
  const chosen = cases.filter((each) =>
    only.some((name) => (isName(name) ? each.name === name : each.name.startsWith(name))),
  );
  if (chosen.length === 0) throw new Error('No case has such a name; --list prints them.');
  return chosen;
}

/**
 * A folder on a disk: on a file system in memory fsync costs nothing, and the ratios would say
 * nothing about disks.
 */
async function makeWorkDirectory(options: BenchOptions, chosen: BenchCase[]): Promise<string> {
  const isTmpfs = (await statfs(tmpdir())).type === tmpfsMagic;
  const parent = options.directory ?? (isTmpfs ? resultsDirectory : tmpdir());
  await mkdir(parent, { recursive: true });
  const bigFiles = chosen.some((each) => each.unit === 'MiB/s') ? options.rounds + 4 : 0;
  const neededBytes = 2 * bigFiles * options.bigFileBytes + 2 * gibibyte;
  const disk = await statfs(parent);
  if (disk.bavail * disk.bsize < neededBytes) {
    const needed = `${Math.ceil(neededBytes / gibibyte)} GiB`;
    throw new Error(`${parent} lacks the ${needed} that this run may need; --dir names another.`);
  }
  return mkdtemp(join(parent, 'dfs-bench-'));
}

async function makeReport(
  options: BenchOptions,
  startedAt: Date,
  groups: GroupResult[],
): Promise<BenchReport> {
  const results = groups.flatMap((group) => group.cases);
  const everyServer = results.flatMap(({ ours, reference, nginx }) => [
    ours,
    reference,
    ...(nginx ? [nginx] : []),
  ]);
  return {
    startedAt: startedAt.toISOString(),
    durationSeconds: Math.round((Date.now() - startedAt.getTime()) / 1000),
    commit: await currentCommit(),
    machine: {
      processor: cpus()[0]?.model.trim() ?? 'unknown',
      processors: cpus().length,
      memoryBytes: totalmem(),
      system: `${type()} ${release()}`,
      nodeVersion: process.versions.node,
    },
    settings: {
      rounds: options.rounds,
      roundMs: options.roundMs,
      bigFileBytes: options.bigFileBytes,
      threadPoolSize: groups[0]?.threadPoolSize ?? Number.NaN,
      isSelfCheck: options.isSelfCheck,
    },
    isComplete: results.length === cases.length && !options.isSelfCheck,
    cases: results,
    memory: groups.map((group) => group.memory),
    errorCount: everyServer.reduce((sum, each) => sum + each.errorCount, 0),
  };
}

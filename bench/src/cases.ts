import type { BenchCase, CaseRun, Measurement } from './bench-case.ts';
import type { LoadResult } from './load-messages.ts';
import { measurePutProcess } from './put-process.ts';
import type { ServerUnderTest } from './server-under-test.ts';

const smallFileBytes = 4 * 1024;
const connections = 16;
/** Enough that no answer is the one before again, few enough to be stored in seconds. */
const filesToGet = 2_000;
/** Contents of one round are numbered from here on; no round comes near this many files. */
const contentsPerRound = 1_000_000;
const mebibyte = 1024 * 1024;

/** The rows of the table in the order in which they run: those of one `copies` together. */
export const cases: readonly BenchCase[] = [
  {
    name: 'put-small',
    title: 'PUT 4 KiB, 16 connections, copies 1',
    copies: 1,
    unit: 'files/s',
    better: 'higher',
    atLeast: 0.3,
    aim: 0.5,
    roundsFactor: 1,
    hasNginx: false,
    measure: (run) => measurePutSmall(run, false),
  },
  {
    name: 'get-small',
    title: 'GET 4 KiB, 16 connections, through the master',
    copies: 1,
    unit: 'files/s',
    better: 'higher',
    atLeast: 0.2,
    aim: 0.5,
    roundsFactor: 1,
    hasNginx: true,
    prepare: prepareSmallFiles,
    measure: measureGetSmall,
  },
  {
    name: 'put-big',
    title: 'PUT 256 MiB, one stream, copies 1',
    copies: 1,
    unit: 'MiB/s',
    better: 'higher',
    atLeast: 0.5,
    aim: 0.85,
    roundsFactor: 1,
    hasNginx: false,
    measure: measurePutBig,
  },
  {
    name: 'get-big',
    title: 'GET 256 MiB, one stream, through the master',
    copies: 1,
    unit: 'MiB/s',
    better: 'higher',
    atLeast: 0.35,
    aim: 0.5,
    roundsFactor: 3,
    hasNginx: true,
    prepare: prepareBigFiles,
    measure: (run) => measureGetBig(run, false),
  },
  {
    name: 'get-redirect',
    title: 'GET 256 MiB, one stream, from a node (redirect followed)',
    copies: 1,
    unit: 'MiB/s',
    better: 'higher',
    atLeast: 0.8,
    aim: 0.95,
    roundsFactor: 3,
    hasNginx: true,
    prepare: prepareBigFiles,
    measure: (run) => measureGetBig(run, true),
  },
  {
    name: 'put-process',
    title: '`dfs put` of 1 KiB, whole process',
    copies: 1,
    unit: 'ms',
    better: 'lower',
    atLeast: 5,
    aim: 3,
    referenceName: 'node -e 0',
    roundsFactor: 3,
    hasNginx: false,
    measure: measurePutProcess,
  },
  {
    name: 'put-small-replicated',
    title: 'PUT 4 KiB, 16 connections, copies 2, until every copy is stored',
    copies: 2,
    unit: 'files/s',
    better: 'higher',
    atLeast: 0.12,
    aim: 0.22,
    roundsFactor: 1,
    hasNginx: false,
    measure: (run) => measurePutSmall(run, run.server.isReplicating),
    verify: verifyEveryCopyOnDisk,
  },
];

/** A server that has run for a day has its hot code compiled; a few thousand requests do not get that far. */
const warmUpFactor = 3;

const durationMsOf = ({ options, isWarmUp }: CaseRun) =>
  options.roundMs * (isWarmUp ? warmUpFactor : 1);

async function measurePutSmall(run: CaseRun, untilReplicated: boolean): Promise<Measurement> {
  const result = await run.load.run({
    kind: 'put-small-files',
    target: run.server.target,
    prefix: `/fs/bench/put-${run.roundNumber}`,
    sizeBytes: smallFileBytes,
    connections,
    firstContent: run.roundNumber * contentsPerRound,
    limit: { durationMs: durationMsOf(run) },
    untilReplicated,
  });
  return measurement(result, result.requests);
}

const filesToGetPrefix = '/fs/bench/get';

async function prepareSmallFiles(run: CaseRun): Promise<void> {
  const result = await run.load.run({
    kind: 'put-small-files',
    target: run.server.target,
    prefix: filesToGetPrefix,
    sizeBytes: smallFileBytes,
    connections,
    firstContent: 0,
    limit: { requests: filesToGet },
    untilReplicated: false,
  });
  refuseErrors(result);
}

async function measureGetSmall(run: CaseRun): Promise<Measurement> {
  const result = await run.load.run({
    kind: 'get-small-files',
    target: run.server.target,
    prefix: filesToGetPrefix,
    sizeBytes: smallFileBytes,
    connections,
    firstContent: 0,
    durationMs: durationMsOf(run),
    fileCount: filesToGet,
  });
  return measurement(result, result.requests);
}

async function measurePutBig(run: CaseRun): Promise<Measurement> {
  const result = await run.load.run({
    kind: 'put-stream',
    target: run.server.target,
    path: `/fs/bench/big-${run.roundNumber}`,
    sizeBytes: run.options.bigFileBytes,
    content: run.roundNumber,
  });
  return measurement(result, result.bytes / mebibyte);
}

/** Several, so that one lucky place in the page cache does not decide for all rounds. */
const bigFilesToGet = 3;
const haveBigFiles = new WeakSet<ServerUnderTest>();

const bigFilePath = (index: number) => `/fs/bench/big-to-get-${index}`;

async function prepareBigFiles(run: CaseRun): Promise<void> {
  if (haveBigFiles.has(run.server)) return;
  for (let index = 0; index < bigFilesToGet; index += 1) {
    const result = await run.load.run({
      kind: 'put-stream',
      target: run.server.target,
      path: bigFilePath(index),
      sizeBytes: run.options.bigFileBytes,
      content: index,
    });
    refuseErrors(result);
  }
  haveBigFiles.add(run.server);
}

async function measureGetBig(run: CaseRun, isRedirected: boolean): Promise<Measurement> {
  const index = run.roundNumber % bigFilesToGet;
  const result = await run.load.run({
    kind: 'get-stream',
    target: run.server.target,
    path: bigFilePath(index),
    sizeBytes: run.options.bigFileBytes,
    content: index,
    followRedirect: isRedirected && run.server.isReplicating,
    verifyMd5: run.isWarmUp,
  });
  return measurement(result, result.bytes / mebibyte);
}

/** A gauge may lie: the copies on the disks of the nodes are counted as well. */
async function verifyEveryCopyOnDisk(
  run: CaseRun,
  measurements: readonly Measurement[],
): Promise<string[]> {
  if (!run.cluster) return [];
  const files = measurements.reduce((sum, each) => sum + each.requests, 0);
  const expected = files * run.cluster.copies;
  const stored = await run.cluster.countStoredCopies();
  if (stored >= expected) return [];
  return [`${stored} copies lie on the nodes' disks, ${expected} were to be there`];
}

function measurement(result: LoadResult, amount: number): Measurement {
  return {
    value: (amount / result.elapsedMs) * 1000,
    requests: result.requests,
    latency: result.latency,
    errorCount: result.errorCount,
    errorSamples: result.errorSamples,
    ...(result.replicationLagMs === undefined ? {} : { replicationLagMs: result.replicationLagMs }),
    loadCpuShare: result.loadCpuMs / result.elapsedMs,
  };
}

function refuseErrors(result: LoadResult): void {
  if (result.errorCount === 0) return;
  throw new Error(`What the rounds read could not be stored: ${result.errorSamples.join('; ')}`);
}

import type { BenchCase, CaseRun, Measurement } from './bench-case.ts';
import { type LatencyMs, median, mergeLatency } from './statistics.ts';

/** One server's figures in one case. */
export interface ServerFigures {
  name: string;
  /** Median over the rounds, in the case's unit. */
  value: number;
  values: number[];
  latency: LatencyMs | undefined;
  errorCount: number;
  errorSamples: string[];
  /** Median and worst over the rounds. */
  replicationLagMs?: { median: number; max: number };
  loadCpuShare?: number;
}

export type Verdict = 'aim' | 'ok' | 'below' | 'errors';

export interface CaseResult {
  name: string;
  title: string;
  unit: BenchCase['unit'];
  better: BenchCase['better'];
  atLeast: number;
  aim: number;
  /** Median of the rounds' ratios ours / reference. */
  ratio: number;
  /** Each round's, in order. */
  ratios: number[];
  verdict: Verdict;
  ours: ServerFigures;
  reference: ServerFigures;
  nginx?: ServerFigures;
}

/** What the rounds of a case differ in is filled in by `runCase`. */
export type CaseSetting = Omit<CaseRun, 'roundNumber' | 'isWarmUp' | 'server' | 'role'>;

export interface CaseServers {
  ours: CaseRun['server'];
  reference: CaseRun['server'];
  nginx: CaseRun['server'] | undefined;
}

/**
 * Measures one case: a warm-up round, then rounds in which ours and the reference take turns, so
 * that what slows the machine down for a while slows both. `nextRoundNumber` gives numbers that
 * no other round of this run has; `onRound` is told each ratio.
 */
export async function runCase(
  benchCase: BenchCase,
  servers: CaseServers,
  setting: CaseSetting,
  hooks: { nextRoundNumber(): number; onRound(ratio: number): void },
): Promise<CaseResult> {
  const runOf = (role: CaseRun['role'], roundNumber: number, isWarmUp: boolean): CaseRun => {
    const server = servers[role] ?? servers.reference;
    return { ...setting, server, role, roundNumber, isWarmUp };
  };
  const nginxRole = benchCase.hasNginx && servers.nginx ? ('nginx' as const) : undefined;
  const roles = ['ours', 'reference', ...(nginxRole ? [nginxRole] : [])] as const;
  const all: Record<CaseRun['role'], Measurement[]> = { ours: [], reference: [], nginx: [] };

  // nginx reads the files of the bare server.
  for (const role of ['ours', 'reference'] as const) {
    await benchCase.prepare?.(runOf(role, 0, false));
  }
  const rounds = setting.options.rounds * benchCase.roundsFactor;
  for (let round = 0; round <= rounds; round += 1) {
    const roundNumber = hooks.nextRoundNumber();
    // Who goes first changes: a disk still busy with one's writes would burden the other always.
    for (const role of round % 2 === 0 ? roles : [...roles].reverse()) {
      await waitIdle(servers.ours, setting.load);
      all[role].push(await benchCase.measure(runOf(role, roundNumber, round === 0)));
    }
    if (round > 0) hooks.onRound(ratioOf(all.ours.at(-1), all.reference.at(-1)));
  }
  const complaints = (await benchCase.verify?.(runOf('ours', 0, false), all.ours)) ?? [];
  return caseResult(benchCase, servers, all, complaints);
}

/** Copies still being made would slow down whatever is measured next. */
async function waitIdle(ours: CaseRun['server'], load: CaseRun['load']): Promise<void> {
  if (ours.isReplicating) await load.run({ kind: 'wait-replicated', target: ours.target });
}

function caseResult(
  benchCase: BenchCase,
  servers: CaseServers,
  all: Record<CaseRun['role'], Measurement[]>,
  complaints: string[],
): CaseResult {
  const ours = figures(servers.ours.name, all.ours, complaints);
  const reference = figures(benchCase.referenceName ?? servers.reference.name, all.reference, []);
  const ratios = all.ours.slice(1).map((each, index) => ratioOf(each, all.reference[index + 1]));
  const ratio = median(ratios);
  const hasErrors = ours.errorCount + reference.errorCount > 0;
  const { name, title, unit, better, atLeast, aim } = benchCase;
  return {
    ...{ name, title, unit, better, atLeast, aim, ratio, ratios },
    verdict: hasErrors ? 'errors' : judge(ratio, benchCase),
    ours,
    reference,
    ...(all.nginx.length > 0 ? { nginx: figures('nginx', all.nginx, []) } : {}),
  };
}

/** Where a ratio stands between the two bounds of its case; NaN is below. */
export function judge(
  ratio: number,
  bounds: Pick<BenchCase, 'atLeast' | 'aim' | 'better'>,
): Verdict {
  const reaches = (bound: number) => (bounds.better === 'higher' ? ratio >= bound : ratio <= bound);
  if (reaches(bounds.aim)) return 'aim';
  return reaches(bounds.atLeast) ? 'ok' : 'below';
}

function ratioOf(ours: Measurement | undefined, reference: Measurement | undefined): number {
  return (ours?.value ?? Number.NaN) / (reference?.value ?? Number.NaN);
}

/** The warm-up round comes first in `measurements`: its errors count, its figures do not. */
function figures(name: string, measurements: Measurement[], complaints: string[]): ServerFigures {
  const measured = measurements.slice(1);
  const values = measured.map((each) => each.value);
  const lags = measured.flatMap((each) => each.replicationLagMs ?? []);
  const shares = measured.flatMap((each) => each.loadCpuShare ?? []);
  return {
    name,
    value: median(values),
    values,
    latency: mergeLatency(measured.map((each) => each.latency)),
    errorCount: measurements.reduce((sum, each) => sum + each.errorCount, 0) + complaints.length,
    errorSamples: [...complaints, ...measurements.flatMap((each) => each.errorSamples)].slice(0, 5),
    ...(lags.length > 0
      ? { replicationLagMs: { median: median(lags), max: Math.max(...lags) } }
      : {}),
    ...(shares.length > 0 ? { loadCpuShare: median(shares) } : {}),
  };
}

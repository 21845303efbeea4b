import type { Cluster } from './cluster.ts';
import type { LoadProcess } from './load-process.ts';
import type { BenchOptions } from './options.ts';
import type { ServerUnderTest } from './server-under-test.ts';
import type { LatencyMs } from './statistics.ts';

/** One row of the table: a piece of work, and how it must compare with the reference. */
export interface BenchCase {
  /** For `--only`. */
  name: string;
  title: string;
  /** How many copies the cluster is told to keep. */
  copies: number;
  unit: 'files/s' | 'MiB/s' | 'ms';
  better: 'higher' | 'lower';
  /** Bounds of the ratio ours / reference. */
  atLeast: number;
  aim: number;
  /** What the reference is, where it is not the bare server. */
  referenceName?: string;
  /** Rounds of this case for each of `--rounds`: more where a round is short, hence noisy. */
  roundsFactor: number;
  /** nginx does this work too, and is printed beside it. */
  hasNginx: boolean;
  /** Stores what the rounds read; once for ours and once for the reference. */
  prepare?(run: CaseRun): Promise<void>;
  /** One round on one server. */
  measure(run: CaseRun): Promise<Measurement>;
  /** After the last round: what must hold then. Gives what does not, in words. */
  verify?(run: CaseRun, measurements: readonly Measurement[]): Promise<string[]>;
}

/** What a case works with in one round on one server. */
export interface CaseRun {
  server: ServerUnderTest;
  role: 'ours' | 'reference' | 'nginx';
  /** Absent when the bare server is compared with itself. */
  cluster: Cluster | undefined;
  load: LoadProcess;
  options: BenchOptions;
  /** For local files of the case. */
  workDirectory: string;
  /** No other round has this number: it goes into names and contents. 0 belongs to `prepare`. */
  roundNumber: number;
  /** Its figure is thrown away: the place for checks that cost time. */
  isWarmUp: boolean;
}

export interface Measurement {
  /** In the case's unit. */
  value: number;
  requests: number;
  latency: LatencyMs;
  errorCount: number;
  errorSamples: string[];
  replicationLagMs?: number;
  /** Share of one processor that the load generator used while its clock ran. */
  loadCpuShare?: number;
}

/** How long the requests of one run took, in milliseconds. */
export interface LatencyMs {
  p50: number;
  p90: number;
  p99: number;
  max: number;
}

/** The median; NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN;
  return (lower + upper) / 2;
}

/** The smallest value that at least `fraction` of all values do not exceed (nearest rank). */
export function percentile(sorted: ArrayLike<number>, fraction: number): number {
  const rank = Math.max(1, Math.ceil(fraction * sorted.length));
  return sorted[rank - 1] ?? Number.NaN;
}

/** Sorts a copy: the order in which requests ended is of no interest. */
export function summariseLatency(samplesMs: readonly number[]): LatencyMs {
  const sorted = Float64Array.from(samplesMs).sort();
  return {
    p50: percentile(sorted, 0.5),
    p90: percentile(sorted, 0.9),
    p99: percentile(sorted, 0.99),
    max: percentile(sorted, 1),
  };
}

/** Several rounds as one: the median of each percentile, and the worst of all for the maximum. */
export function mergeLatency(rounds: readonly LatencyMs[]): LatencyMs | undefined {
  if (rounds.length === 0) return undefined;
  return {
    p50: median(rounds.map((round) => round.p50)),
    p90: median(rounds.map((round) => round.p90)),
    p99: median(rounds.map((round) => round.p99)),
    max: Math.max(...rounds.map((round) => round.max)),
  };
}

import type { LoadResult } from './load-messages.ts';
import { summariseLatency } from './statistics.ts';

const errorSamplesMax = 5;

/** What one job of the load generator saw. Its clock starts when it is made. */
export class RunRecord {
  private readonly startedAtMs = performance.now();
  private readonly cpuAtStart = process.cpuUsage();
  private readonly latenciesMs: number[] = [];
  private readonly errorSamples: string[] = [];
  private bytes = 0;
  private errorCount = 0;
  private elapsedMs = 0;
  private cpuMs = 0;
  private replicationLagMs: number | undefined;

  succeeded(sentAtMs: number, bytes: number): void {
    this.latenciesMs.push(performance.now() - sentAtMs);
    this.bytes += bytes;
  }

  failed(reason: string): void {
    this.errorCount += 1;
    if (this.errorSamples.length < errorSamplesMax) this.errorSamples.push(reason);
  }

  get errors(): number {
    return this.errorCount;
  }

  get elapsedSoFarMs(): number {
    return performance.now() - this.startedAtMs;
  }

  /** Ends the timed part; what is checked later costs no time of the server's. */
  stopClock(): void {
    this.elapsedMs = this.elapsedSoFarMs;
    const cpu = process.cpuUsage(this.cpuAtStart);
    this.cpuMs = (cpu.user + cpu.system) / 1000;
  }

  /** Ends the timed part once replication was seen to be complete. */
  stopClockAfterReplication(lastAnswerAtMs: number): void {
    this.replicationLagMs = performance.now() - lastAnswerAtMs;
    this.stopClock();
  }

  result(): LoadResult {
    return {
      requests: this.latenciesMs.length,
      bytes: this.bytes,
      elapsedMs: this.elapsedMs,
      ...(this.replicationLagMs === undefined ? {} : { replicationLagMs: this.replicationLagMs }),
      latency: summariseLatency(this.latenciesMs),
      errorCount: this.errorCount,
      errorSamples: this.errorSamples,
      loadCpuMs: this.cpuMs,
    };
  }
}

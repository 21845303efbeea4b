import { setTimeout as delay } from 'node:timers/promises';
import { type BlobId, backoffMs, type Clock, type DamageReport, type NodeId } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { Damage } from './disk-blob-store.ts';
import type { MasterClient } from './master-client.ts';

/** In one message, and waiting in all; what is beyond will be found again. */
const batchMax = 500;
const pendingMax = 10_000;
/** A copy that is still bad is reported again after this time. */
const repeatAfterMs = 15_000;
const pauseMaxMs = 5_000;

export interface DamageReporterDependencies {
  readonly master: MasterClient;
  readonly nodeId: NodeId;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
}

/** Tells the master at once which copies were found bad or gone, and keeps at it until it knows. */
export class DamageReporter {
  readonly #deps: DamageReporterDependencies;
  readonly #pending = new Map<BlobId, Damage>();
  /** When a copy was found, by the monotonic clock: a hot blob is found bad by every reader. */
  readonly #foundAtMs = new Map<BlobId, number>();
  readonly #stopping = new AbortController();
  #sending: Promise<void> | undefined;

  constructor(dependencies: DamageReporterDependencies) {
    this.#deps = dependencies;
  }

  report(damage: Damage): void {
    const { clock, logger } = this.#deps;
    const nowMs = clock.monotonic();
    const foundAtMs = this.#foundAtMs.get(damage.blobId);
    if (foundAtMs !== undefined && nowMs - foundAtMs < repeatAfterMs) return;
    if (this.#pending.size >= pendingMax) return;
    if (this.#foundAtMs.size >= pendingMax) this.#foundAtMs.clear();
    this.#foundAtMs.set(damage.blobId, nowMs);
    this.#pending.set(damage.blobId, damage);
    logger.warn('found a bad copy', { ...damage });
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined;
    });
  }

  /** The copy was replaced or deleted: what was not told yet is no longer true. */
  mended(id: BlobId): void {
    this.#foundAtMs.delete(id);
    this.#pending.delete(id);
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#sending;
  }

  async #send(): Promise<void> {
    const { master, nodeId, random } = this.#deps;
    const { signal } = this.#stopping;
    // Damages that are found together leave together.
    await Promise.resolve();
    for (let attempt = 1; this.#pending.size > 0 && !signal.aborted; attempt += 1) {
      const damages = [...this.#pending.values()].slice(0, batchMax);
      try {
        const message: DamageReport = { nodeId, damages };
        await master.post('/cluster/damage', message, signal);
        for (const damage of damages) this.#sent(damage);
        attempt = 0;
      } catch {
        // The heartbeat says in one line that the master does not answer or refuses.
        const pauseMs = Math.min(pauseMaxMs, backoffMs(attempt, random()));
        await delay(pauseMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  #sent(damage: Damage): void {
    if (this.#pending.get(damage.blobId) === damage) this.#pending.delete(damage.blobId);
  }
}

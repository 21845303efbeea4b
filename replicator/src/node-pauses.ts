import type { Clock, NodeId } from '@dfs/shared';

const firstPauseMs = 1_000;
const pauseMaxMs = 30_000;

interface Silence {
  readonly pausedUntilMs: number;
  readonly pauseMs: number;
}

/** Nodes that gave no answer lately. Jobs for them are left to the repair loop instead of each waiting for the same silence. */
export class NodePauses {
  readonly #clock: Clock;
  readonly #silences = new Map<NodeId, Silence>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  isPaused(id: NodeId): boolean {
    return (this.#silences.get(id)?.pausedUntilMs ?? 0) > this.#clock.monotonic();
  }

  /**
   * The node gave no answer. One broken connection is no silence; from the second failure in a row it is left alone, for longer each time. Failures noticed
   * during a pause belong to what began it.
   */
  silent(id: NodeId): void {
    if (this.isPaused(id)) return;
    const before = this.#silences.get(id);
    if (!before) {
      this.#silences.set(id, { pausedUntilMs: 0, pauseMs: firstPauseMs / 2 });
      return;
    }
    const pauseMs = Math.min(pauseMaxMs, before.pauseMs * 2);
    const pausedUntilMs = this.#clock.monotonic() + pauseMs;
    this.#silences.set(id, { pausedUntilMs, pauseMs });
  }

  answered(id: NodeId): void {
    this.#silences.delete(id);
  }
}

import type { Clock, NodeId } from '@dfs/shared';

/** How fast a read stops to count, ms. */
const halfLifeMs = 1_000;

/**
 * Readers that a node was given lately, by a redirect too, whose end is not seen here: each counts for half after a second, for a quarter after two, and so on.
 */
export class HandedReads {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #loads = new Map<NodeId, { readonly value: number; readonly atMs: number }>();

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  add(nodeId: NodeId): void {
    this.#loads.set(nodeId, { value: this.#valueOf(nodeId) + 1, atMs: this.#clock.monotonic() });
  }

  /** How many readers the node may be busy with: a whole number, so that nodes are equal again after a while. */
  of(nodeId: NodeId): number {
    return Math.round(this.#valueOf(nodeId));
  }

  #valueOf(nodeId: NodeId): number {
    const load = this.#loads.get(nodeId);
    if (!load) return 0;
    return load.value * 0.5 ** ((this.#clock.monotonic() - load.atMs) / halfLifeMs);
  }
}

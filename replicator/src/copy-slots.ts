import type { Clock, NodeId } from '@dfs/shared';

export interface CopySlotsOptions {
  /** Copies at a time. */
  readonly copiesMax: number;
  /** Copies at a time that one node takes part in, as source or target. */
  readonly perNodeMax: number;
  /** When more copies than this wait, those for a node that makes no progress are given up. */
  readonly waitingMax: number;
  readonly clock: Clock;
}

/** The right to make one copy now. */
export interface CopySlot {
  /** The one of the asked sources that has capacity, the first of them. */
  readonly source: NodeId;
  release(): void;
}

interface Waiter {
  readonly sources: readonly NodeId[];
  readonly sinceMs: number;
  readonly settle: (slot: CopySlot | undefined) => void;
}

/** A node whose next copy waited this long, and that began none meanwhile, makes no progress. */
const stuckAfterMs = 5_000;
/** How many of a target's waiting copies are looked at for one whose source has capacity. */
const lookAheadMax = 16;

/** Bounds copies in all and per node. Targets take turns, so a slow or busy one does not hold up the others. */
export class CopySlots {
  readonly #options: CopySlotsOptions;
  readonly #busy = new Map<NodeId, number>();
  /** By target, each in order of arrival. */
  readonly #queues = new Map<NodeId, Waiter[]>();
  /** When a copy to a target began last, while others wait for it. */
  readonly #begunAtMs = new Map<NodeId, number>();
  #copies = 0;
  #waiting = 0;

  constructor(options: CopySlotsOptions) {
    this.#options = options;
  }

  /**
   * Resolves when a copy from one of the sources to the target may start. Undefined when it is given up, because too many wait for a node that makes no
   * progress, or because `signal` aborted.
   */
  acquire(
    target: NodeId,
    sources: readonly NodeId[],
    signal: AbortSignal,
  ): Promise<CopySlot | undefined> {
    if (signal.aborted) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const settle = (slot: CopySlot | undefined) => {
        signal.removeEventListener('abort', giveUp);
        this.#waiting -= 1;
        resolve(slot);
      };
      const waiter: Waiter = { sources, sinceMs: this.#options.clock.monotonic(), settle };
      const giveUp = () => {
        if (this.#remove(target, waiter)) settle(undefined);
      };
      signal.addEventListener('abort', giveUp, { once: true });
      const queue = this.#queues.get(target);
      if (queue) queue.push(waiter);
      else this.#queues.set(target, [waiter]);
      this.#waiting += 1;
      this.#grant();
      if (this.#waiting > this.#options.waitingMax) this.#shed();
    });
  }

  #grant(): void {
    for (let granted = true; granted; ) {
      granted = false;
      for (const target of [...this.#queues.keys()]) {
        if (this.#copies >= this.#options.copiesMax) return;
        granted = this.#grantOne(target) || granted;
      }
    }
  }

  #grantOne(target: NodeId): boolean {
    const queue = this.#queues.get(target);
    if (!queue || !this.#hasCapacity(target)) return false;
    for (const waiter of queue.slice(0, lookAheadMax)) {
      const source = waiter.sources.find((id) => this.#hasCapacity(id));
      if (source === undefined) continue;
      this.#begunAtMs.set(target, this.#options.clock.monotonic());
      this.#remove(target, waiter);
      waiter.settle(this.#occupy(source, target));
      return true;
    }
    return false;
  }

  #occupy(source: NodeId, target: NodeId): CopySlot {
    const nodes = [source, target];
    this.#copies += 1;
    for (const id of nodes) this.#busy.set(id, (this.#busy.get(id) ?? 0) + 1);
    let isHeld = true;
    const release = () => {
      if (!isHeld) return;
      isHeld = false;
      this.#copies -= 1;
      for (const id of nodes) {
        const left = (this.#busy.get(id) ?? 1) - 1;
        if (left === 0) this.#busy.delete(id);
        else this.#busy.set(id, left);
      }
      this.#grant();
    };
    return { source, release };
  }

  #hasCapacity(id: NodeId): boolean {
    return (this.#busy.get(id) ?? 0) < this.#options.perNodeMax;
  }

  /** Gives up the younger half of what waits for the target that has not moved for longest, so that copies for others come in. */
  #shed(): void {
    const now = this.#options.clock.monotonic();
    const movedAtMs = (target: NodeId, first: Waiter | undefined) =>
      Math.max(first?.sinceMs ?? now, this.#begunAtMs.get(target) ?? 0);
    const stuck = [...this.#queues]
      .filter(([target, [first]]) => now - movedAtMs(target, first) > stuckAfterMs)
      .toSorted(([, a], [, b]) => (a[0]?.sinceMs ?? 0) - (b[0]?.sinceMs ?? 0));
    const queue = stuck[0]?.[1];
    if (!queue) return;
    const shed = queue.splice(Math.ceil(queue.length / 2));
    for (const waiter of shed) waiter.settle(undefined);
  }

  #remove(target: NodeId, waiter: Waiter): boolean {
    const queue = this.#queues.get(target);
    const index = queue?.indexOf(waiter) ?? -1;
    if (!queue || index < 0) return false;
    queue.splice(index, 1);
    if (queue.length === 0) {
      this.#queues.delete(target);
      this.#begunAtMs.delete(target);
    }
    return true;
  }
}

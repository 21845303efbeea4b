import type { Clock, NodeId, NodeState } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { NodeSnapshot } from '../cluster/node-directory.ts';
import type { InventoryCheck } from './inventory-check.ts';

export interface NodeVerificationDependencies {
  readonly inventories: Pick<InventoryCheck, 'check'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called when a node's inventory was compared for the first time since it came. */
  readonly onVerified: (id: NodeId) => void;
}

const checksAtOnceMax = 2;
const retryAfterMs = 5_000;

/**
 * Has the inventory of every node compared that registers or returns. Until then its rows are what the database remembers, not what the node holds.
 */
export class NodeVerification {
  readonly #deps: NodeVerificationDependencies;
  readonly #verified = new Set<NodeId>();
  readonly #checks = new Map<NodeId, Promise<void>>();
  readonly #notBeforeMs = new Map<NodeId, number>();
  readonly #states = new Map<NodeId, NodeState>();
  /** How often each node came or went: tells a check that it is about the past. */
  readonly #arrivals = new Map<NodeId, number>();
  readonly #stopping = new AbortController();

  constructor(dependencies: NodeVerificationDependencies) {
    this.#deps = dependencies;
  }

  get verified(): ReadonlySet<NodeId> {
    return this.#verified;
  }

  /** A node changed its state, its process or its address. */
  nodeChanged({ id, state }: { id: NodeId; state: NodeState }): void {
    const before = this.#states.get(id);
    this.#states.set(id, state);
    // A request that failed, or the end of that doubt, says nothing of what is on the disk.
    const isHere = state === 'up' || state === 'draining';
    const isDoubt = state === 'suspect' || (isHere && before === 'suspect');
    if (isDoubt) return;
    this.#verified.delete(id);
    this.#notBeforeMs.delete(id);
    this.#arrivals.set(id, (this.#arrivals.get(id) ?? 0) + 1);
  }

  /** Begins the checks that are to be made now. */
  start(nodes: readonly NodeSnapshot[]): void {
    const now = this.#deps.clock.monotonic();
    for (const { id, state } of nodes) {
      if (this.#checks.size >= checksAtOnceMax || this.#stopping.signal.aborted) return;
      const isDue = (this.#notBeforeMs.get(id) ?? 0) <= now;
      const isHere = state === 'up' || state === 'draining';
      if (!isHere || !isDue || this.#verified.has(id) || this.#checks.has(id)) continue;
      const check = this.#check(id).finally(() => this.#checks.delete(id));
      this.#checks.set(id, check);
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.idle();
  }

  /** Resolves when no check runs. */
  async idle(): Promise<void> {
    await Promise.all(this.#checks.values());
  }

  async #check(id: NodeId): Promise<void> {
    const { inventories, clock, logger, onVerified } = this.#deps;
    const arrival = this.#arrivals.get(id);
    try {
      await inventories.check(id, this.#stopping.signal);
      // A node that came anew while it was compared is compared anew.
      if (this.#arrivals.get(id) !== arrival) return;
      this.#verified.add(id);
      onVerified(id);
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      logger.debug('inventory could not be compared', { nodeId: id, error });
      this.#notBeforeMs.set(id, clock.monotonic() + retryAfterMs);
    }
  }
}

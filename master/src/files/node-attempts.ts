import { type Clock, decideRetry, isNetworkErrorCode, type NodeId, StoreError } from '@dfs/shared';

/** Waits; rejects when the signal is aborted. */
export type Wait = (ms: number, signal?: AbortSignal) => Promise<void>;

export interface NodeAttemptsOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly wait: Wait;
}

/** Tries at one piece of work in all, rounds over the nodes, and the time from the first failure on. */
const attemptLimits = { attempts: 8, rounds: 4, totalMs: 10_000 } as const;

/**
 * Which nodes may still be tried for one piece of work. A node that failed is left alone while there are others; then those that may
 * succeed later are tried again after a wait.
 */
export class NodeAttempts {
  readonly #options: NodeAttemptsOptions;
  readonly #failures = new Map<NodeId, StoreError>();
  /** Not again: what they answered will not change soon. */
  readonly #refusing = new Set<NodeId>();
  /** Tried in this round. */
  readonly #tried = new Set<NodeId>();
  #attempts = 0;
  #round = 1;
  #firstFailureAtMs: number | undefined;
  #delayMs = Number.POSITIVE_INFINITY;

  constructor(options: NodeAttemptsOptions) {
    this.#options = options;
  }

  /** The last failure of each node. */
  get failures(): ReadonlyMap<NodeId, StoreError> {
    return this.#failures;
  }

  /** Nodes not to choose now. */
  get excluded(): ReadonlySet<NodeId> {
    return new Set([...this.#refusing, ...this.#tried]);
  }

  /** True while limits allow another try at any node. */
  get mayContinue(): boolean {
    const { clock } = this.#options;
    const sinceMs = this.#firstFailureAtMs ?? clock.monotonic();
    return (
      this.#attempts < attemptLimits.attempts && clock.monotonic() - sinceMs < attemptLimits.totalMs
    );
  }

  /** Notes a node's failure. Throws it when no node would do better: the request itself was refused. */
  fail(nodeId: NodeId, error: unknown): void {
    const { clock, random } = this.#options;
    const known = storeErrorOf(error);
    this.#attempts += 1;
    this.#firstFailureAtMs ??= clock.monotonic();
    this.#failures.set(nodeId, known);
    const { retryAfterSeconds } = known;
    const failure = { code: codeOf(known), attempt: this.#round, retryAfterSeconds };
    const decision = decideRetry(failure, random());
    this.#tried.add(nodeId);
    if (decision.action === 'never') throw known;
    if (decision.action === 'other') this.#refusing.add(nodeId);
    else this.#delayMs = Math.min(this.#delayMs, decision.delayMs);
  }

  /**
   * Waits until the nodes of this round may be tried again. False when that is useless: limits are reached, or all that were tried
   * refuse for good. `hasHope` says that a node not tried so far may take part soon. Rejects when the signal is aborted.
   */
  async nextRound(hasHope: boolean, signal: AbortSignal): Promise<boolean> {
    const mayRecover = [...this.#tried].some((id) => !this.#refusing.has(id));
    if (!(mayRecover || hasHope) || !this.mayContinue || this.#round >= attemptLimits.rounds) {
      return false;
    }
    const delayMs = Number.isFinite(this.#delayMs) ? this.#delayMs : 250 * this.#round;
    if (delayMs > attemptLimits.totalMs) return false;
    await this.#options.wait(delayMs, signal);
    this.#tried.clear();
    this.#round += 1;
    this.#delayMs = Number.POSITIVE_INFINITY;
    return true;
  }
}

/** Failures of the way between master and node, whatever the node made of them, are the network's. */
const codeOf = (error: StoreError) =>
  error.kind === 'incomplete-body' || error.kind === 'cancelled' ? 'unavailable' : error.kind;

/** A failure as ours: what a store threw that is none of ours counts as the node's own fault. */
export function storeErrorOf(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const { code, message } = error as { code?: unknown; message?: unknown };
  const isNetwork = typeof code === 'string' && isNetworkErrorCode(code);
  const text = typeof message === 'string' ? message : String(error);
  return new StoreError(isNetwork ? 'unavailable' : 'internal', text, { cause: error });
}

import { decideRetry, type NodeId, StoreError } from '@dfs/shared';
import { placeBlob } from '../replication/placement.ts';
import type { FileServiceDependencies } from './file-service-dependencies.ts';
import { storeErrorOf } from './node-attempts.ts';
import type { PlacedBlob } from './store-blob.ts';
import { tooFewNodes } from './upload-refusal.ts';

export interface CopiesRequest {
  readonly blob: PlacedBlob;
  /** Copies to be made now, besides the primary's. */
  readonly count: number;
  readonly signal: AbortSignal;
}

/** A target that may answer better a moment later is asked this often. */
const triesPerTarget = 2;

/**
 * Has nodes pull a blob from its primary, and waits until `count` of them hold it durably: the blob's targets first, others in place of those that
 * fail. Rejects with `unavailable` when too few do, and with `cancelled`.
 */
export async function pullCopies(
  dependencies: FileServiceDependencies,
  request: CopiesRequest,
): Promise<readonly NodeId[]> {
  const { blob, count, signal } = request;
  if (count === 0) return [];
  const targets = new PullTargets(dependencies, blob);
  const gone = new AbortController();
  const both = AbortSignal.any([signal, gone.signal]);
  try {
    return await Promise.all(
      Array.from({ length: count }, () => pullOne(dependencies, { ...request, targets }, both)),
    );
  } catch (error) {
    gone.abort();
    throw error;
  }
}

async function pullOne(
  dependencies: FileServiceDependencies,
  request: CopiesRequest & { readonly targets: PullTargets },
  signal: AbortSignal,
): Promise<NodeId> {
  const { blob, count, targets } = request;
  let lastError: StoreError | undefined;
  for (let target = targets.next(); target !== undefined; target = targets.next()) {
    try {
      await pullTo(dependencies, blob, target, signal);
      return target;
    } catch (error) {
      if (signal.aborted) throw new StoreError('cancelled', 'The upload was cancelled.');
      lastError = storeErrorOf(error);
      const node = dependencies.nodes.find(target)?.name ?? target;
      dependencies.logger.warn('node did not copy a blob, trying on', { node, error });
    }
  }
  const why = lastError ? `too few could: ${lastError.message}` : 'there are not enough.';
  throw tooFewNodes(count + 1, why, lastError);
}

async function pullTo(
  { nodes, random, wait }: FileServiceDependencies,
  blob: PlacedBlob,
  target: NodeId,
  signal: AbortSignal,
): Promise<void> {
  const { blobId, receipt } = blob;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const url = nodes.find(blob.primary)?.url ?? '';
      const source = { nodeId: blob.primary, url };
      await nodes.storeOf(target).pull({ blobId, source, ...receipt }, signal);
      return;
    } catch (error) {
      const { kind, retryAfterSeconds } = storeErrorOf(error);
      const decision = decideRetry({ code: kind, attempt, retryAfterSeconds }, random());
      const isWorthWaiting = decision.action === 'same' || decision.action === 'refresh';
      if (!isWorthWaiting || attempt >= triesPerTarget || signal.aborted) throw error;
      await wait(decision.delayMs, signal);
    }
  }
}

/** Hands out each node once: the planned targets, then any other one with room, in zones without a copy if possible. */
class PullTargets {
  readonly #dependencies: FileServiceDependencies;
  readonly #blob: PlacedBlob;
  readonly #planned: NodeId[];
  readonly #given: Set<NodeId>;

  constructor(dependencies: FileServiceDependencies, blob: PlacedBlob) {
    this.#dependencies = dependencies;
    this.#blob = blob;
    this.#planned = [...blob.targets];
    this.#given = new Set([blob.primary, ...blob.targets]);
  }

  next(): NodeId | undefined {
    const planned = this.#planned.shift();
    if (planned !== undefined) return planned;
    const { nodes, random } = this.#dependencies;
    const [other] = placeBlob(nodes.snapshots(), {
      copies: 1,
      sizeBytes: this.#blob.receipt.sizeBytes,
      random,
      exclude: this.#given,
      zonesTaken: this.#zonesTaken(),
    });
    if (other !== undefined) this.#given.add(other);
    return other;
  }

  #zonesTaken(): Set<string> {
    const { nodes } = this.#dependencies;
    return new Set([...this.#given].flatMap((id) => nodes.find(id)?.zone ?? []));
  }
}

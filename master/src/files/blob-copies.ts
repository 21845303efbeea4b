import { decideRetry, type FileId, type NodeId, StoreError } from '@dfs/shared';
import type { NodeSnapshot, NodeStore } from '../cluster/node-directory.ts';
import type { FileBlob, Replica } from '../metadata/metadata-repository.ts';
import { readOrder } from '../replication/read-order.ts';
import type { FileServiceDependencies } from './file-service-dependencies.ts';
import { storeErrorOf } from './node-attempts.ts';

/** A copy to read from. */
export interface Copy {
  readonly nodeId: NodeId;
  readonly store: NodeStore;
  /** To be called when the node gives the bytes from its cache. */
  readonly cameFromCache?: () => void;
}

interface Trial {
  readonly failures: number;
  /** The node may answer better later. */
  readonly mayRecover: boolean;
  /** Nothing more is expected of this copy for now. */
  readonly isGivenUp: boolean;
  readonly error: StoreError;
  readonly delayMs: number;
}

/** How often a copy may fail before the read got on by `progressBytes`. */
const failuresMax = 2;
const progressBytes = 2 ** 20;
/** Longer than this a reader does not wait for a copy. */
const delayMaxMs = 2_000;

/** The copies of one blob during one read: which to ask next, and which failed how. */
export class BlobCopies {
  readonly #dependencies: FileServiceDependencies;
  readonly #blob: FileBlob;
  readonly #fileId: FileId;
  /** Asked last. */
  readonly #avoid: NodeId | undefined;
  readonly #trials = new Map<NodeId, Trial>();
  #bytesSinceFailure = 0;

  constructor(
    dependencies: FileServiceDependencies,
    read: { readonly blob: FileBlob; readonly fileId: FileId; readonly avoid?: NodeId | undefined },
  ) {
    this.#dependencies = dependencies;
    this.#blob = read.blob;
    this.#fileId = read.fileId;
    this.#avoid = read.avoid;
  }

  /**
   * The best copy that may still answer: untried ones first, then such as may have recovered, after a wait. Rejects with `not-found` when
   * the blob is gone, with `corrupt` when every copy is bad, with `unavailable`, which names the nodes that hold it, and with `cancelled`.
   */
  async next(signal: AbortSignal): Promise<Copy> {
    const replicas = await this.#replicas();
    const [nodeId] = this.#candidates(replicas);
    if (nodeId === undefined) throw this.#refusal(replicas);
    const { caching } = this.#dependencies;
    if (caching?.isHot(this.#fileId)) caching.givenTo(nodeId);
    await this.#wait(this.#trials.get(nodeId)?.delayMs ?? 0, signal);
    const isStored = replicas.some((row) => row.nodeId === nodeId && row.state === 'stored');
    const store = this.#dependencies.nodes.storeOf(nodeId);
    if (!isStored) return { nodeId, store };
    const missing = new StoreError('not-found', 'The store lacks it; the bytes came from a cache.');
    return { nodeId, store, cameFromCache: () => this.#damaged(nodeId, missing) };
  }

  async #wait(delayMs: number, signal: AbortSignal): Promise<void> {
    if (delayMs === 0) return;
    try {
      await this.#dependencies.wait(delayMs, signal);
    } catch (cause) {
      throw new StoreError('cancelled', 'The reader went away.', { cause });
    }
  }

  /** Notes that bytes came in. After enough of them, nodes that failed may well be back: a long read outlives many of their failures. */
  progressed(bytes: number): void {
    this.#bytesSinceFailure += bytes;
    if (this.#trials.size === 0 || this.#bytesSinceFailure < progressBytes) return;
    for (const [nodeId, { mayRecover }] of this.#trials) {
      if (mayRecover) this.#trials.delete(nodeId);
    }
  }

  /** Notes that a copy failed; a missing or bad one is reported, so that it is made anew. */
  failed(nodeId: NodeId, cause: unknown): void {
    const error = storeErrorOf(cause);
    const failures = (this.#trials.get(nodeId)?.failures ?? 0) + 1;
    const { retryAfterSeconds } = error;
    const decision = decideRetry(
      { code: error.kind, attempt: failures, retryAfterSeconds },
      this.#dependencies.random(),
    );
    const mayRecover = decision.action === 'same' || decision.action === 'refresh';
    const { delayMs } = decision;
    // A silent node was asked as a last hope, once.
    const isSilent = this.#dependencies.nodes.find(nodeId)?.state === 'down';
    const isHopeless = !mayRecover || isSilent || delayMs > delayMaxMs;
    const isGivenUp = isHopeless || failures >= failuresMax;
    this.#trials.set(nodeId, { failures, mayRecover, isGivenUp, error, delayMs });
    this.#bytesSinceFailure = 0;
    if (error.kind === 'not-found' || error.kind === 'corrupt') {
      // What a node only cached it may drop at any time, and what is bad there it fetches anew.
      this.#dependencies.caching?.lost(nodeId, this.#blob.blobId);
      this.#damaged(nodeId, error);
    }
  }

  #damaged(nodeId: NodeId, error: StoreError): void {
    this.#reportDamage(nodeId, error).catch((failure: unknown) => {
      const fields = { blobId: this.#blob.blobId, node: this.#nameOf(nodeId), error: failure };
      this.#dependencies.logger.error('damage could not be recorded', fields);
    });
  }

  async #replicas(): Promise<readonly Replica[]> {
    const { blobId } = this.#blob;
    const found = await this.#dependencies.metadata.replicasOf([blobId]);
    const replicas = found.get(blobId);
    if (replicas) return replicas;
    throw new StoreError('not-found', 'The content was deleted.');
  }

  #candidates(replicas: readonly Replica[]): NodeId[] {
    const { caching } = this.#dependencies;
    const caches = caching?.holdersOf(this.#blob.blobId) ?? [];
    const nodes = new Map<NodeId, NodeSnapshot>();
    for (const nodeId of [...replicas.map((replica) => replica.nodeId), ...caches]) {
      const node = this.#dependencies.nodes.find(nodeId);
      if (node) nodes.set(nodeId, node);
    }
    const order = readOrder(replicas, nodes, {
      avoid: this.#avoid,
      caches,
      isHot: caching?.isHot(this.#fileId) ?? false,
      ...(caching ? { readsLately: (id) => caching.readsLately(id) } : {}),
    });
    if (this.#trials.size === 0) return order;
    const failuresOf = (id: NodeId) => this.#trials.get(id)?.failures ?? 0;
    return order
      .filter((id) => !this.#trials.get(id)?.isGivenUp)
      .sort((a, b) => failuresOf(a) - failuresOf(b));
  }

  #refusal(replicas: readonly Replica[]): StoreError {
    const errors = [...this.#trials.values()].map(({ error }) => error);
    const cause = errors.at(-1);
    const options = {
      hint: 'Start one of these nodes again, or look at "dfs nodes".',
      retryAfterSeconds: 5,
      ...(cause ? { cause } : {}),
    };
    // A copy that a read found bad may have left the rows meanwhile.
    const holders = new Set([
      ...replicas.filter(({ state }) => state === 'stored').map(({ nodeId }) => nodeId),
      ...this.#trials.keys(),
    ]);
    if (holders.size === 0) {
      return new StoreError('unavailable', 'No node holds the content now.', {
        ...options,
        hint: 'Look at "dfs replicas" and "dfs log".',
      });
    }
    const all = [...holders].map((id) => this.#describe(id)).join(', ');
    if (errors.length === holders.size && errors.every(({ kind }) => kind === 'corrupt')) {
      return new StoreError('corrupt', `Every copy of the content is damaged: ${all}.`, options);
    }
    return new StoreError(
      'unavailable',
      `No node that holds the content answers: ${all}.`,
      options,
    );
  }

  #describe(nodeId: NodeId): string {
    const state = this.#dependencies.nodes.find(nodeId)?.state ?? 'unknown';
    const kind = this.#trials.get(nodeId)?.error.kind;
    const isDamaged = kind === 'corrupt' || kind === 'not-found';
    const damage = kind === 'corrupt' ? ', its copy is damaged' : ', its copy is missing';
    return `${this.#nameOf(nodeId)} (${state}${isDamaged ? damage : ''})`;
  }

  async #reportDamage(nodeId: NodeId, error: StoreError): Promise<void> {
    const { metadata, clock, replication } = this.#dependencies;
    const { blobId, sizeBytes, md5 } = this.#blob;
    const rows = (await metadata.replicasOf([blobId])).get(blobId);
    if (!rows?.some((row) => row.nodeId === nodeId && row.state !== 'wanted')) return;
    const kind = error.kind === 'corrupt' ? 'corrupt' : 'missing';
    const detail = `found while reading: ${error.message}`;
    await metadata.recordDamage(nodeId, [{ blobId, kind, detail }], clock.now());
    // The rows say whether it is to be made anew: a file deleted meanwhile is not.
    const replicas = (await metadata.replicasOf([blobId])).get(blobId) ?? [];
    const row = replicas.find((replica) => replica.nodeId === nodeId);
    if (row?.state !== 'wanted' && row?.state !== 'corrupt') return;
    const sources = replicas.filter(({ state }) => state === 'stored').map((each) => each.nodeId);
    if (sources.length === 0) return;
    const path = (await metadata.findFileById(this.#fileId))?.path;
    if (path === undefined) return;
    replication.hint([{ blobId, target: nodeId, sizeBytes, md5, path, sources }]);
  }

  #nameOf(nodeId: NodeId): string {
    return this.#dependencies.nodes.find(nodeId)?.name ?? nodeId;
  }
}

import { type Clock, type NodeId, StoreError } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import type { RunningUploads } from '../replication/upload-renewal.ts';
import type { HeartbeatNodeDirectory } from './heartbeat-node-directory.ts';
import type { NodeSnapshot } from './node-directory.ts';

/** What an admin does to nodes. A node is named by its id or, when no other has it, by its name. */
export interface NodeAdmin {
  /** Has all copies on a node made elsewhere and dropped from it, or stops that. Rejects: `not-found`, `conflict`. */
  drain(reference: string, options: { readonly cancel: boolean }): Promise<NodeSnapshot>;
  /**
   * Takes a node out for good. Rejects: `not-found`, `conflict` (ambiguous; it holds the only copy of something, unless `force`; uploads to it still run).
   */
  remove(reference: string, options: { readonly force: boolean }): Promise<NodeSnapshot>;
}

export interface NodeAdminDependencies {
  readonly metadata: Pick<MetadataRepository, 'lastCopiesOn' | 'forgetCopiesOn'>;
  readonly nodes: Pick<
    HeartbeatNodeDirectory,
    'snapshots' | 'find' | 'drain' | 'remove' | 'removed'
  >;
  readonly uploads: RunningUploads;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly wait: (ms: number) => Promise<unknown>;
  /** Rows of copies went: what is short of copies now is to be looked at. */
  readonly onForgotten: () => void;
}

/** Uploads that were placed before the node left may still end on it; so long they are waited for. */
const uploadsEndWithinMs = 10_000;
const lookEveryMs = 50;
const rowsPerTransaction = 1_000;
/** An upload that lasted longer than all patience may have named the node since. */
const forgetAgainMs = 10 * 60_000;

/** Drains nodes and takes them out. */
export class ClusterNodeAdmin implements NodeAdmin {
  readonly #deps: NodeAdminDependencies;
  /** Removed nodes none of whose rows is left, and when that was seen, by the monotonic clock. */
  readonly #forgottenAtMs = new Map<NodeId, number>();
  /** Since when nodes take no blobs, by the monotonic clock; absent: since before this process, whose uploads know nothing of them. */
  readonly #drainedAtMs = new Map<NodeId, number>();

  constructor(dependencies: NodeAdminDependencies) {
    this.#deps = dependencies;
  }

  async drain(reference: string, { cancel }: { readonly cancel: boolean }): Promise<NodeSnapshot> {
    const { nodes, logger } = this.#deps;
    const node = findNode(nodes.snapshots(), reference);
    if (!cancel && !node.isDraining) checkOthersTakeBlobs(nodes.snapshots(), node);
    await this.#mark(node, !cancel);
    const message = cancel ? 'a node is no longer drained' : 'a node is drained';
    logger.info(message, { node: node.name, id: node.id });
    return nodes.find(node.id) ?? node;
  }

  async remove(reference: string, { force }: { readonly force: boolean }): Promise<NodeSnapshot> {
    const { nodes, logger } = this.#deps;
    const node = findNode(nodes.snapshots(), reference);
    const wasDraining = node.isDraining === true;
    // No new blob is placed on it from here on.
    await this.#mark(node, true);
    try {
      await this.#waitForUploads(node);
      if (!force) await this.#checkLastCopies(node);
      await nodes.remove(node.id);
    } catch (error) {
      if (!wasDraining && nodes.find(node.id)) await this.#mark(node, false);
      throw error;
    }
    logger.warn('a node was removed', { node: node.name, id: node.id, force });
    return { ...node, state: 'removed' };
  }

  /** Takes away rows of removed nodes, a bounded number in each transaction. True when there may be more. */
  async forgetRemoved(): Promise<boolean> {
    const { metadata, nodes, clock, onForgotten } = this.#deps;
    const now = clock.monotonic();
    const due = nodes.removed().find((id) => {
      return now - (this.#forgottenAtMs.get(id) ?? Number.NEGATIVE_INFINITY) >= forgetAgainMs;
    });
    if (due === undefined) return false;
    const gone = await metadata.forgetCopiesOn(due, rowsPerTransaction);
    if (gone > 0) onForgotten();
    else this.#forgottenAtMs.set(due, now);
    return true;
  }

  async #mark(node: NodeSnapshot, isDraining: boolean): Promise<void> {
    await this.#deps.nodes.drain(node.id, isDraining);
    if (!isDraining) this.#drainedAtMs.delete(node.id);
    else if (!node.isDraining) this.#drainedAtMs.set(node.id, this.#deps.clock.monotonic());
  }

  async #waitForUploads({ id, name, state }: NodeSnapshot): Promise<void> {
    const { uploads, clock, wait } = this.#deps;
    const drainedAtMs = this.#drainedAtMs.get(id);
    if (drainedAtMs === undefined || state === 'down') return;
    const before = uploads.uploadingFor(clock.monotonic() - drainedAtMs);
    const untilMs = clock.monotonic() + uploadsEndWithinMs;
    for (;;) {
      const running = uploads.uploadingNow();
      if (!before.some((blobId) => running.has(blobId))) return;
      if (clock.monotonic() >= untilMs) {
        throw new StoreError('conflict', `Uploads are running that may end on node ${name}.`, {
          hint: `Drain it first ("dfs drain ${name}"), and remove it when they have ended.`,
        });
      }
      await wait(lookEveryMs);
    }
  }

  async #checkLastCopies({ id, name }: NodeSnapshot): Promise<void> {
    const { metadata, nodes } = this.#deps;
    const others = nodes
      .snapshots()
      .filter((node) => node.id !== id && node.state !== 'down' && node.state !== 'removed');
    const last = await metadata.lastCopiesOn(
      [id],
      others.map((node) => node.id),
    );
    if (last.blobs === 0) return;
    throw new StoreError(
      'conflict',
      `Node ${name} holds the only copy that can be reached of ${last.blobs} blobs (${last.bytes} bytes).`,
      {
        hint: `Drain it first ("dfs drain ${name}") and wait until "dfs status" says that it is empty; with --force it is removed and these are lost.`,
      },
    );
  }
}

/** The node of this id or name. Rejects: `not-found`, `conflict` when two have the name. Pure. */
export function findNode(nodes: readonly NodeSnapshot[], reference: string): NodeSnapshot {
  const byId = nodes.find((node) => node.id === reference);
  if (byId) return byId;
  const [node, ...others] = nodes.filter(({ name }) => name === reference);
  if (!node) {
    throw new StoreError('not-found', `There is no node ${JSON.stringify(reference)}.`, {
      hint: 'Look at "dfs nodes".',
    });
  }
  if (others.length === 0) return node;
  const ids = [node, ...others].map(({ id, state }) => `${id} (${state})`).join(', ');
  throw new StoreError('conflict', `${others.length + 1} nodes are called ${reference}: ${ids}.`, {
    hint: 'Name the one you mean by its id.',
  });
}

function checkOthersTakeBlobs(nodes: readonly NodeSnapshot[], { id, name }: NodeSnapshot): void {
  if (nodes.some((node) => node.id !== id && node.state === 'up')) return;
  throw new StoreError('conflict', `No other node is up that could take what ${name} holds.`, {
    hint: 'Add a node first, or bring one back.',
  });
}

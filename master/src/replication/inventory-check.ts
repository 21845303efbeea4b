import { setTimeout as sleep } from 'node:timers/promises';
import type { BlobId, Clock, NodeId } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { NodeDirectory } from '../cluster/node-directory.ts';
import type { InventoryFindings, MetadataRepository } from '../metadata/metadata-repository.ts';
import type { GracePeriod } from './grace-period.ts';
import { clockWasSet, steadyMoment } from './steady-clock.ts';

export interface InventoryCheckDependencies {
  readonly metadata: Pick<MetadataRepository, 'compareInventory'>;
  readonly nodes: Pick<NodeDirectory, 'storeOf' | 'find'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** After which an unknown blob is an aborted upload. */
  readonly grace: GracePeriod;
  readonly blobsInUse: { uploadingNow(): ReadonlySet<BlobId> };
}

const blobsPerPage = 500;

type FindingsListener = (nodeId: NodeId, findings: InventoryFindings) => void;

/** Compares what nodes hold with what the rows say, in pages, so that neither memory nor a transaction grows with the node. */
export class InventoryCheck {
  readonly #deps: InventoryCheckDependencies;
  readonly #running = new Map<NodeId, Promise<InventoryFindings>>();
  readonly #listeners = new Set<FindingsListener>();
  /** How many quarantined blobs were spoken of last, by node. */
  readonly #quarantined = new Map<NodeId, number>();

  constructor(dependencies: InventoryCheckDependencies) {
    this.#deps = dependencies;
  }

  /**
   * Goes through the whole inventory of a node, or joins a check of it that runs. Rejects with what the node or the database fails with, and with `unavailable` when the clock was set back meanwhile; what was compared
   * until then stays.
   */
  check(nodeId: NodeId, signal: AbortSignal): Promise<InventoryFindings> {
    const running = this.#running.get(nodeId);
    if (running !== undefined) return running;
    const check = this.#checkAll(nodeId, signal).finally(() => this.#running.delete(nodeId));
    this.#running.set(nodeId, check);
    return check;
  }

  /** Calls the listener after each whole check. */
  onFindings(listener: FindingsListener): void {
    this.#listeners.add(listener);
  }

  async #checkAll(nodeId: NodeId, signal: AbortSignal): Promise<InventoryFindings> {
    const { clock } = this.#deps;
    let total: InventoryFindings = noFindings;
    let after: string | undefined;
    do {
      const startedAtMs = clock.monotonic();
      const page = await this.#checkPage(nodeId, after);
      total = sumOf(total, page.findings);
      after = page.next;
      // Users' requests share this process: it stays free for them at least half of the time.
      if (after !== undefined) await sleep(clock.monotonic() - startedAtMs, undefined, { signal });
    } while (after !== undefined);
    this.#tell(nodeId, total);
    for (const listener of this.#listeners) listener(nodeId, total);
    return total;
  }

  async #checkPage(nodeId: NodeId, after: string | undefined) {
    const { metadata, nodes, clock, grace, blobsInUse } = this.#deps;
    const asked = steadyMoment(clock);
    const { blobs, damaged, next } = await nodes.storeOf(nodeId).inventory(after, blobsPerPage);
    const findings = await metadata.compareInventory({
      nodeId,
      ...(after === undefined ? {} : { afterKey: after }),
      ...(next === undefined ? {} : { throughKey: next }),
      blobs,
      damaged,
      askedAtMs: asked.atMs,
      isClockSteady: asked.isSteady,
      abortedBeforeMs: grace.endedBeforeMs(),
      inUpload: blobsInUse.uploadingNow(),
    });
    // Another look, from the beginning: rows that were left out may lie in this page.
    if (!asked.isSteady()) throw clockWasSet();
    return { findings, next };
  }

  #tell(nodeId: NodeId, findings: InventoryFindings): void {
    const { logger, nodes } = this.#deps;
    const node = nodes.find(nodeId)?.name ?? nodeId;
    const { found, missing, damaged, aborted, quarantined } = findings;
    if (found + missing + damaged + aborted > 0) {
      logger.info('inventory compared', { node, found, missing, damaged, aborted });
    }
    if (quarantined > 0 && quarantined !== this.#quarantined.get(nodeId)) {
      logger.warn('a node holds blobs of another epoch or cluster: they are left alone', {
        node,
        quarantined,
      });
    }
    this.#quarantined.set(nodeId, quarantined);
  }
}

const noFindings: InventoryFindings = {
  found: 0,
  missing: 0,
  damaged: 0,
  aborted: 0,
  quarantined: 0,
};

const sumOf = (a: InventoryFindings, b: InventoryFindings): InventoryFindings => ({
  found: a.found + b.found,
  missing: a.missing + b.missing,
  damaged: a.damaged + b.damaged,
  aborted: a.aborted + b.aborted,
  quarantined: a.quarantined + b.quarantined,
});

import type { BlobId, Clock, NodeId } from '@dfs/shared';
import type { NodeSnapshot } from '../cluster/node-directory.ts';
import type { BlobCopies, MetadataRepository } from '../metadata/metadata-repository.ts';
import { hasSurplus, planRepair, type RepairFacts } from './repair-plan.ts';

const blobsPerPage = 300;
/** What one call of `changeCopies` takes. */
const changesMax = 1_000;
/** A scan that found copies too many which could not be dropped yet is made again after this, and after twice as long each time. */
const againAfterMs = 30_000;
const againMaxMs = 10 * 60_000;

interface Scan {
  /** Where it goes on; absent: at the beginning. */
  readonly after?: string;
  /** Some blob of an earlier page has copies too many that could not be dropped. */
  readonly isUnsettled: boolean;
}

/** Goes over all blobs that have a row on a node that was lost or came back, a page at a time. */
export class NodeScans {
  readonly #metadata: Pick<MetadataRepository, 'blobsOnNode' | 'changeCopies'>;
  readonly #clock: Clock;
  /** The one that has waited longest first. */
  readonly #scans = new Map<NodeId, Scan>();
  /** When to scan a node again, by the monotonic clock. */
  readonly #again = new Map<NodeId, { readonly atMs: number; readonly pauseMs: number }>();

  constructor(metadata: Pick<MetadataRepository, 'blobsOnNode' | 'changeCopies'>, clock: Clock) {
    this.#metadata = metadata;
    this.#clock = clock;
  }

  get isIdle(): boolean {
    return this.#scans.size === 0;
  }

  isScanning(id: NodeId): boolean {
    return this.#scans.has(id);
  }

  /** Asks for a scan of this node from the beginning, also when one of it runs. */
  request(id: NodeId): void {
    this.#again.delete(id);
    this.#begin(id);
  }

  /** Plans one page of the scan that has waited longest and gives its blobs; undefined when there is none. */
  async step(
    nodes: readonly NodeSnapshot[],
    facts: RepairFacts,
  ): Promise<readonly BlobCopies[] | undefined> {
    this.#beginAgain();
    const [next] = this.#scans;
    if (!next) return undefined;
    const [id, scan] = next;
    const { blobs, next: after } = await this.#metadata.blobsOnNode(id, {
      ...(scan.after === undefined ? {} : { after: scan.after }),
      limit: blobsPerPage,
    });
    const isUnsettled = (await this.#repair(blobs, nodes, facts)) || scan.isUnsettled;
    // Asked for anew while this page was read: it begins again.
    if (this.#scans.get(id) !== scan) return blobs;
    this.#scans.delete(id);
    // To the end of the line, so that a large node does not keep the others waiting.
    if (after !== undefined) this.#scans.set(id, { after, isUnsettled });
    else this.#ended(id, isUnsettled);
    return blobs;
  }

  /** True when some blob has copies too many and nothing can be done about it now. */
  async #repair(
    blobs: readonly BlobCopies[],
    nodes: readonly NodeSnapshot[],
    facts: RepairFacts,
  ): Promise<boolean> {
    const changes = planRepair(blobs, nodes, facts);
    for (let at = 0; at < changes.length; at += changesMax) {
      await this.#metadata.changeCopies(changes.slice(at, at + changesMax), this.#clock.now());
    }
    const changed = new Set<BlobId>(changes.map((change) => change.blobId));
    const byId = new Map(nodes.map((node) => [node.id, node]));
    return blobs.some((blob) => !changed.has(blob.blobId) && hasSurplus(blob, byId, facts));
  }

  #begin(id: NodeId): void {
    this.#scans.delete(id);
    this.#scans.set(id, { isUnsettled: false });
  }

  #beginAgain(): void {
    const now = this.#clock.monotonic();
    for (const [id, { atMs }] of this.#again) {
      if (atMs <= now && !this.#scans.has(id)) this.#begin(id);
    }
  }

  #ended(id: NodeId, isUnsettled: boolean): void {
    if (!isUnsettled) {
      this.#again.delete(id);
      return;
    }
    const pauseMs = Math.min(againMaxMs, (this.#again.get(id)?.pauseMs ?? againAfterMs / 2) * 2);
    this.#again.set(id, { atMs: this.#clock.monotonic() + pauseMs, pauseMs });
  }
}

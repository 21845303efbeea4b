import type { Clock, NodeId } from '@dfs/shared';
import type { NodeSnapshot } from '../cluster/node-directory.ts';
import type { BlobCopies, MetadataRepository } from '../metadata/metadata-repository.ts';
import { planRepair, type RepairFacts } from './repair-plan.ts';

const blobsPerPage = 300;
/** What one call of `changeCopies` takes. */
const changesMax = 1_000;

/** Goes over all blobs that have a row on a node that was lost or came back, a page at a time. */
export class NodeScans {
  readonly #metadata: Pick<MetadataRepository, 'blobsOnNode' | 'changeCopies'>;
  readonly #clock: Clock;
  /** Where each scan goes on; the one that has waited longest first. */
  readonly #scans = new Map<NodeId, { readonly after?: string }>();

  constructor(metadata: Pick<MetadataRepository, 'blobsOnNode' | 'changeCopies'>, clock: Clock) {
    this.#metadata = metadata;
    this.#clock = clock;
  }

  get isIdle(): boolean {
    return this.#scans.size === 0;
  }

  /** Asks for a scan of this node from the beginning, also when one of it runs. */
  request(id: NodeId): void {
    this.#scans.delete(id);
    this.#scans.set(id, {});
  }

  /** Plans one page of the scan that has waited longest and gives its blobs; undefined when there is none. */
  async step(
    nodes: readonly NodeSnapshot[],
    facts: RepairFacts,
  ): Promise<readonly BlobCopies[] | undefined> {
    const [next] = this.#scans;
    if (!next) return undefined;
    const [id, scan] = next;
    const page = await this.#metadata.blobsOnNode(id, { ...scan, limit: blobsPerPage });
    const changes = planRepair(page.blobs, nodes, facts);
    for (let at = 0; at < changes.length; at += changesMax) {
      await this.#metadata.changeCopies(changes.slice(at, at + changesMax), this.#clock.now());
    }
    // Asked for anew while this page was read: it begins again.
    if (this.#scans.get(id) !== scan) return page.blobs;
    this.#scans.delete(id);
    // To the end of the line, so that a large node does not keep the others waiting.
    if (page.next !== undefined) this.#scans.set(id, { after: page.next });
    return page.blobs;
  }
}

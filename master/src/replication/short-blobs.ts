import type { BlobId, Clock } from '@dfs/shared';
import type { NodeSnapshot } from '../cluster/node-directory.ts';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import { planRepair, type RepairFacts } from './repair-plan.ts';
import { isShortOfRoom } from './room.ts';

const blobsPerPage = 500;
/** After a pass for a new set of nodes: an upload that was placed before may have been bound behind the pass. */
const recheckMs = 10_000;
/** Without any change of the nodes: room may have come free. */
const idleMs = 60_000;

/**
 * Finds blobs that have fewer rows of copies than wanted, because there were too few nodes with room, and wants the rest. A change of the nodes begins a pass
 * over all of them; without one, a page a minute shows whether anything can be done.
 */
export class ShortBlobs {
  readonly #metadata: Pick<MetadataRepository, 'blobsShortOfCopies' | 'changeCopies'>;
  readonly #clock: Clock;
  #after: BlobId | undefined;
  /** The nodes that the last pass was for. */
  #nodesSeen: string | undefined;
  #isInPass = false;
  #nextLookAtMs = 0;

  constructor(
    metadata: Pick<MetadataRepository, 'blobsShortOfCopies' | 'changeCopies'>,
    clock: Clock,
  ) {
    this.#metadata = metadata;
    this.#clock = clock;
  }

  /** Some may have become short otherwise than by a change of the nodes. */
  lookAgain(): void {
    this.#nodesSeen = undefined;
  }

  /** One page at most. True when there is more to be done at once. */
  async step(nodes: readonly NodeSnapshot[], facts: RepairFacts): Promise<boolean> {
    const now = this.#clock.monotonic();
    const nodesNow = nodes
      .map((node) => `${node.id} ${node.state} ${isShortOfRoom(node) ? 'short' : 'roomy'}`)
      .toSorted()
      .join();
    if (nodesNow !== this.#nodesSeen) {
      this.#nodesSeen = nodesNow;
      this.#isInPass = true;
      this.#after = undefined;
      this.#nextLookAtMs = now + recheckMs;
    }
    if (!this.#isInPass && now < this.#nextLookAtMs) return false;
    const page = await this.#metadata.blobsShortOfCopies({
      ...(this.#after === undefined ? {} : { after: this.#after }),
      limit: blobsPerPage,
    });
    const changes = planRepair(page.blobs, nodes, facts);
    if (changes.length > 0) await this.#metadata.changeCopies(changes, this.#clock.now());
    this.#after = page.next as BlobId | undefined;
    if (this.#after === undefined) this.#isInPass = false;
    const goesOn = this.#after !== undefined && (this.#isInPass || changes.length > 0);
    if (!goesOn && now >= this.#nextLookAtMs) this.#nextLookAtMs = now + idleMs;
    return goesOn;
  }
}

import { type BlobId, type Clock, decideRetry, isNetworkErrorCode, type NodeId } from '@dfs/shared';
import { networkCodeOf } from '@dfs/shared/cluster';
import type { NodeDirectory } from '../cluster/node-directory.ts';
import type { MetadataRepository, Replica } from '../metadata/metadata-repository.ts';

export interface BlobDropperDependencies {
  readonly metadata: Pick<MetadataRepository, 'dueDrops' | 'confirmDropped' | 'deferDrops'>;
  readonly nodes: Pick<NodeDirectory, 'snapshots' | 'storeOf'>;
  readonly clock: Clock;
  readonly random: () => number;
}

type Outcome =
  | { readonly dropped: { blobId: BlobId; nodeId: NodeId } }
  | {
      readonly deferred: { blobId: BlobId; nodeId: NodeId; error: string; retryAtMs: number };
      readonly isNodeSilent: boolean;
    };

/** A delete that a node gets later than this is refused by it: by then its row may mean something else. */
const validMs = 30_000;
const dropsPerPage = 500;
const dropsAtOncePerNode = 8;
const pagesPerStep = 20;

/** Deletes copies whose rows say `dropping` from the nodes, and has the rows go when the nodes confirmed. */
export class BlobDropper {
  readonly #deps: BlobDropperDependencies;

  constructor(dependencies: BlobDropperDependencies) {
    this.#deps = dependencies;
  }

  /** What is due now, in pages; the rest comes with the next step. */
  async step(signal: AbortSignal): Promise<void> {
    const { metadata, nodes, clock } = this.#deps;
    for (let page = 0; page < pagesPerStep && !signal.aborted; page += 1) {
      const here = nodes.snapshots().filter(({ state }) => state === 'up' || state === 'draining');
      if (here.length === 0) return;
      const due = await metadata.dueDrops({
        nowMs: clock.now(),
        nodes: here.map((node) => node.id),
        limit: dropsPerPage,
      });
      if (due.length === 0) return;
      await this.#dropAll(due);
      if (due.length < dropsPerPage) return;
    }
  }

  async #dropAll(due: readonly Replica[]): Promise<void> {
    const byNode = new Map<NodeId, Replica[]>();
    for (const replica of due) {
      const drops = byNode.get(replica.nodeId);
      if (drops) drops.push(replica);
      else byNode.set(replica.nodeId, [replica]);
    }
    const outcomes = (
      await Promise.all([...byNode.values()].map((drops) => this.#dropOn(drops)))
    ).flat();
    const dropped = outcomes.flatMap((outcome) => ('dropped' in outcome ? [outcome.dropped] : []));
    const deferred = outcomes.flatMap((outcome) =>
      'deferred' in outcome ? [outcome.deferred] : [],
    );
    const { metadata, clock } = this.#deps;
    if (dropped.length > 0) await metadata.confirmDropped(dropped, clock.now());
    if (deferred.length > 0) await metadata.deferDrops(deferred);
  }

  /** All of these are on one node. Once it gives no answer, the rest is put off without asking. */
  async #dropOn(drops: readonly Replica[]): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    const rest = [...drops];
    let silence: Outcome | undefined;
    const work = async () => {
      for (let drop = rest.shift(); drop; drop = rest.shift()) {
        if (silence && 'deferred' in silence) {
          outcomes.push({ ...silence, deferred: { ...silence.deferred, blobId: drop.blobId } });
          continue;
        }
        const outcome = await this.#drop(drop);
        if ('deferred' in outcome && outcome.isNodeSilent) silence = outcome;
        outcomes.push(outcome);
      }
    };
    await Promise.all(Array.from({ length: dropsAtOncePerNode }, work));
    return outcomes;
  }

  async #drop({ blobId, nodeId, attempts }: Replica): Promise<Outcome> {
    const { nodes, clock, random } = this.#deps;
    try {
      await nodes.storeOf(nodeId).delete(blobId, { expiresAtMs: clock.now() + validMs });
      return { dropped: { blobId, nodeId } };
    } catch (error) {
      const code = networkCodeOf(error);
      const { delayMs } = decideRetry({ code, attempt: attempts + 1 }, random());
      const text = `${code}: ${error instanceof Error ? error.message : String(error)}`;
      return {
        deferred: { blobId, nodeId, error: text, retryAtMs: clock.now() + delayMs },
        isNodeSilent: isNetworkErrorCode(code),
      };
    }
  }
}

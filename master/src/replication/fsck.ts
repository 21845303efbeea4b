import {
  type BlobId,
  type Clock,
  type FsckFinding,
  type FsckLine,
  type FsckProblem,
  type InventoryPage,
  inventoryKeyOf,
  type NodeName,
  type StoredBlob,
  StoreError,
} from '@dfs/shared';
import type { NodeDirectory, NodeSnapshot } from '../cluster/node-directory.ts';
import type { BlobCopies, MetadataRepository, Replica } from '../metadata/metadata-repository.ts';
import type { GracePeriod } from './grace-period.ts';
import { isReachable } from './node-silence.ts';
import { clockWasSet, type SteadyMoment, steadyMoment } from './steady-clock.ts';

export interface FsckDependencies {
  readonly metadata: Pick<
    MetadataRepository,
    'blobsOnNode' | 'blobsWithoutCopy' | 'replicasOf' | 'compareInventory' | 'identity'
  >;
  readonly nodes: Pick<NodeDirectory, 'snapshots' | 'storeOf' | 'recovery'>;
  readonly clock: Clock;
  /** After which an unknown blob is an aborted upload. */
  readonly grace: Pick<GracePeriod, 'endedBeforeMs'>;
  readonly blobsInUse: { uploadingNow(): ReadonlySet<BlobId> };
  /** Rows of this node were changed: copies are to be made, or trimmed. */
  readonly onRepaired: (node: NodeSnapshot) => void;
}

export interface FsckOptions {
  /** What can be mended is: without it nothing is changed anywhere. */
  readonly isRepair: boolean;
  readonly signal: AbortSignal;
}

const blobsPerPage = 500;

type Tally = Record<FsckProblem, number>;

/**
 * Compares what the rows say with what the nodes hold, node by node and page by page, and gives each difference, then a summary. A difference is looked at
 * again before it is given, since uploads and copies go on meanwhile. With `isRepair` the rows are set right, the repair loop does the rest, and blobs that the database of this cluster
 * does not know, of an earlier epoch too, are dropped. Rejects with `in-recovery`, and with what the database fails with.
 */
export async function* fsck(
  dependencies: FsckDependencies,
  { isRepair, signal }: FsckOptions,
): AsyncGenerator<FsckLine> {
  const reason = dependencies.nodes.recovery();
  if (reason !== undefined) throw new StoreError('in-recovery', reason);
  const problems: Tally = { missing: 0, wrong: 0, uncounted: 0, surplus: 0, orphaned: 0, lost: 0 };
  const notAsked: NodeName[] = [];
  const compared = { copies: 0, bytes: 0 };
  for (const node of dependencies.nodes.snapshots()) {
    const name = { id: node.id, name: node.name };
    if (!isReachable(node)) {
      notAsked.push(name);
      continue;
    }
    const check = new NodeCheck(dependencies, node, isRepair);
    try {
      for await (const findings of check.pages(signal)) {
        for (const finding of findings) problems[finding.problem] += 1;
        yield* findings;
      }
    } catch (error) {
      if (!(error instanceof StoreError && error.kind === 'unavailable')) throw error;
      notAsked.push(name);
    }
    compared.copies += check.copies;
    compared.bytes += check.bytes;
  }
  for await (const finding of lostBlobs(dependencies, signal)) {
    problems.lost += 1;
    yield finding;
  }
  yield { summary: { isRepair, ...compared, problems, notAsked } };
}

async function* lostBlobs(
  { metadata }: FsckDependencies,
  signal: AbortSignal,
): AsyncGenerator<FsckFinding> {
  for (let after: BlobId | undefined; !signal.aborted; ) {
    const page = await metadata.blobsWithoutCopy({
      ...(after === undefined ? {} : { after }),
      limit: blobsPerPage,
    });
    for (const { blobId, path } of page.blobs) {
      yield { problem: 'lost', blob: blobId, path, detail: 'No node is known to hold it.' };
    }
    if (page.next === undefined) return;
    after = page.next as BlobId;
  }
}

/** What a page of the inventory and the rows say of one blob on the node. */
interface Sight {
  readonly held: StoredBlob | undefined;
  readonly isDamaged: boolean;
  readonly blob: BlobCopies | undefined;
}

class NodeCheck {
  readonly #deps: FsckDependencies;
  readonly #node: NodeSnapshot;
  readonly #isRepair: boolean;
  copies = 0;
  bytes = 0;

  constructor(dependencies: FsckDependencies, node: NodeSnapshot, isRepair: boolean) {
    this.#deps = dependencies;
    this.#node = node;
    this.#isRepair = isRepair;
  }

  /** The findings of each page of the node's inventory. */
  async *pages(signal: AbortSignal): AsyncGenerator<FsckFinding[]> {
    const { nodes, clock } = this.#deps;
    const store = nodes.storeOf(this.#node.id);
    let isChanged = false;
    for (let after: string | undefined; !signal.aborted; ) {
      const asked = steadyMoment(clock);
      const page: InventoryPage = await store.inventory(after, blobsPerPage);
      const findings = await this.#compare(page, after);
      if (this.#isRepair && findings.length > 0) {
        await this.#repair(page, after, asked);
        isChanged = true;
      }
      yield findings;
      if (page.next === undefined) break;
      after = page.next;
    }
    if (isChanged) this.#deps.onRepaired(this.#node);
  }

  async #compare(page: InventoryPage, after: string | undefined): Promise<FsckFinding[]> {
    const held = new Map(page.blobs.map((blob) => [blob.blobId, blob]));
    const damaged = new Set(page.damaged);
    const rows = new Map<BlobId, BlobCopies>();
    for await (const blob of this.#rowsUpTo(page.next, after)) rows.set(blob.blobId, blob);
    this.copies += held.size + damaged.size;
    const findings: FsckFinding[] = [];
    for (const id of new Set([...held.keys(), ...damaged, ...rows.keys()])) {
      const sight = { held: held.get(id), isDamaged: damaged.has(id), blob: rows.get(id) };
      this.bytes += sight.held?.sizeBytes ?? 0;
      const finding = judge(id, sight, this.#node);
      const sure = finding && (await this.#lookAgain(finding));
      if (sure) findings.push(sure);
    }
    return findings;
  }

  /** The rows of the keys that a page of the inventory covers. */
  async *#rowsUpTo(
    throughKey: string | undefined,
    afterKey: string | undefined,
  ): AsyncGenerator<BlobCopies> {
    for (let after = afterKey; ; ) {
      const page = await this.#deps.metadata.blobsOnNode(this.#node.id, {
        ...(after === undefined ? {} : { after }),
        limit: blobsPerPage,
      });
      for (const blob of page.blobs) {
        if (throughKey !== undefined && inventoryKeyOf(blob.blobId) > throughKey) return;
        yield blob;
      }
      if (page.next === undefined) return;
      after = page.next;
    }
  }

  /** Both sides are asked once more, the node for this blob alone: what was on its way has arrived by then. */
  async #lookAgain(finding: FsckFinding): Promise<FsckFinding | undefined> {
    const { metadata, nodes, grace, blobsInUse } = this.#deps;
    const { problem, blob: blobId } = finding;
    const { id } = this.#node;
    const held = await nodes
      .storeOf(id)
      .describe(blobId)
      .catch((error: unknown) => {
        if (error instanceof StoreError && error.kind === 'corrupt') return 'damaged' as const;
        throw error;
      });
    const replicas = (await metadata.replicasOf([blobId])).get(blobId);
    const row = replicas?.find((replica) => replica.nodeId === id);
    const isHere = held !== undefined && held !== 'damaged';
    const given = (isSo: boolean) => (isSo ? finding : undefined);
    switch (problem) {
      case 'missing':
        return given(row?.state === 'stored' && held === undefined);
      case 'wrong':
        return given(row?.state === 'stored' && held !== undefined);
      case 'uncounted':
        return given(isHere && row?.state === 'wanted');
      case 'orphaned': {
        if (!isHere || row) return undefined;
        if (replicas) {
          return { ...finding, problem: 'uncounted', detail: 'Nobody counts on this copy.' };
        }
        // Young ones may be bound yet.
        const isOld = held.storedAtMs < grace.endedBeforeMs();
        return given(isOld && !blobsInUse.uploadingNow().has(blobId));
      }
      case 'surplus':
      case 'lost':
        return finding;
    }
  }

  async #repair(
    page: InventoryPage,
    after: string | undefined,
    asked: SteadyMoment,
  ): Promise<void> {
    const { metadata, grace, blobsInUse } = this.#deps;
    await metadata.compareInventory({
      nodeId: this.#node.id,
      ...(after === undefined ? {} : { afterKey: after }),
      ...(page.next === undefined ? {} : { throughKey: page.next }),
      blobs: page.blobs,
      damaged: page.damaged,
      askedAtMs: asked.atMs,
      isClockSteady: asked.isSteady,
      abortedBeforeMs: grace.endedBeforeMs(),
      inUpload: blobsInUse.uploadingNow(),
      mayDropEarlierEpochs: true,
    });
    if (!asked.isSteady()) throw clockWasSet();
  }
}

const isOn = (node: NodeSnapshot) => (replica: Replica) => replica.nodeId === node.id;

/** What is wrong with one blob on one node, as far as a page and the rows tell. Pure. */
function judge(
  blobId: BlobId,
  { held, isDamaged, blob }: Sight,
  node: NodeSnapshot,
): FsckFinding | undefined {
  const found = (problem: FsckProblem, detail: string): FsckFinding => ({
    problem,
    blob: blobId,
    path: blob?.path ?? held?.path ?? '',
    node: { id: node.id, name: node.name },
    detail,
  });
  if (!blob) {
    if (!held) return undefined;
    return found('orphaned', `The database does not know it (epoch ${held.epoch}).`);
  }
  const row = blob.replicas.find(isOn(node));
  const isWhole = !isDamaged && held?.md5 === blob.md5 && held.sizeBytes === blob.sizeBytes;
  if (row?.state === 'stored' && !held && !isDamaged) return found('missing', 'The node has none.');
  if (row?.state === 'stored' && !isWhole) {
    return found('wrong', isDamaged ? 'Its file is damaged.' : 'Its file has other bytes.');
  }
  if (row?.state === 'wanted' && isWhole) {
    return found('uncounted', 'The node has it, and the database waits for it.');
  }
  const stored = blob.replicas.filter(({ state }) => state === 'stored');
  if (row?.role === 'primary' && blob.copiesWanted > 0 && stored.length > blob.copiesWanted) {
    return found('surplus', `${stored.length} copies are stored, ${blob.copiesWanted} wanted.`);
  }
  return undefined;
}

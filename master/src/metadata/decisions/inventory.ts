import type { BlobId, NodeId, StoredBlob } from '@dfs/shared';
import { type BlobState, copyOn, inState, newCopy, withCopy } from '../blob-state.ts';
import type { Draft } from '../draft/draft.ts';
import type {
  ClusterIdentity,
  InventoryComparison,
  InventoryFindings,
} from '../metadata-repository.ts';
import { plainText } from '../rows.ts';
import { isInUpload } from './collection.ts';
import { decideDamage } from './copies.ts';

export interface InventoryStep {
  readonly comparison: InventoryComparison;
  readonly identity: ClusterIdentity;
  /** Blobs with a row on the node, in the range of keys looked at. */
  readonly expected: readonly BlobId[];
  /** Those of the page's blobs and damaged ones that lie in the range. */
  readonly listed: readonly StoredBlob[];
  readonly damaged: readonly BlobId[];
}

type Finding = keyof InventoryFindings | undefined;

/** What one range of a node's inventory means for the rows of its copies: see `InventoryFindings`. */
export function decideInventory(draft: Draft, step: InventoryStep): InventoryFindings {
  const findings = { found: 0, missing: 0, damaged: 0, aborted: 0, quarantined: 0 };
  if (step.comparison.isClockSteady?.() === false) return findings;
  const listed = new Map(step.listed.map((blob) => [blob.blobId, blob]));
  const damaged = new Set(step.damaged);
  const ids = [...new Set([...step.expected, ...listed.keys(), ...damaged])];
  draft.each(ids, (blobId) => {
    const finding = judge(draft, step, blobId, listed.get(blobId), damaged.has(blobId));
    if (finding) findings[finding] += 1;
  });
  return findings;
}

function judge(
  draft: Draft,
  step: InventoryStep,
  blobId: BlobId,
  held: StoredBlob | undefined,
  isDamaged: boolean,
): Finding {
  const blob = draft.blobs.get(blobId);
  const copy = blob && copyOn(blob, step.comparison.nodeId);
  // What changed after the page was asked for may be newer than the page.
  if (copy && copy.changedAtMs >= step.comparison.askedAtMs) return undefined;
  if (!blob || !copy) return judgeUnknown(draft, step, blob, blobId, held);
  const isWhole = !isDamaged && held?.md5 === blob.md5 && held.sizeBytes === blob.sizeBytes;
  if (copy.state === 'wanted' && isWhole) {
    draft.blobs.set(blobId, withCopy(blob, inState(copy, 'stored', draft.nowMs)));
    return 'found';
  }
  if (copy.state !== 'stored' || isWhole) return undefined;
  return noteDamage(draft, step.comparison.nodeId, blobId, isDamaged || held !== undefined);
}

function noteDamage(draft: Draft, nodeId: NodeId, blobId: BlobId, isThere: boolean): Finding {
  const damage = isThere
    ? { blobId, kind: 'corrupt' as const, detail: 'Its description in the inventory is wrong.' }
    : { blobId, kind: 'missing' as const, detail: 'It is not in the inventory.' };
  decideDamage(draft, nodeId, [damage], draft.nowMs);
  return isThere ? 'damaged' : 'missing';
}

/** The node holds a blob of which there is no row for it. */
function judgeUnknown(
  draft: Draft,
  step: InventoryStep,
  blob: BlobState | null,
  blobId: BlobId,
  held: StoredBlob | undefined,
): Finding {
  const { identity, comparison } = step;
  if (held?.clusterId !== identity.clusterId) return 'quarantined';
  // A blob that is known is ours, whichever epoch stored this copy: after a restore that is how most copies are found.
  if (blob) return adopt(draft, comparison, blob, held);
  const isEarlier = held.epoch < identity.epoch && comparison.mayDropEarlierEpochs === true;
  if (held.epoch !== identity.epoch && !isEarlier) return 'quarantined';
  if (held.storedAtMs >= comparison.abortedBeforeMs) return undefined;
  if (isInUpload(draft, blobId, comparison.inUpload, comparison.askedAtMs)) return undefined;
  draft.blobs.set(blobId, abortedUpload(held, comparison.nodeId, draft.nowMs));
  return 'aborted';
}

/** A copy nobody counted on, of a blob that is known: a row makes it count, and lets surplus be dropped by the rules for it. */
function adopt(
  draft: Draft,
  { nodeId, askedAtMs }: InventoryComparison,
  blob: BlobState,
  held: StoredBlob,
): Finding {
  if (blob.copiesChangedAtMs >= askedAtMs) return undefined;
  const isWhole = held.md5 === blob.md5 && held.sizeBytes === blob.sizeBytes;
  if (!isWhole && !blob.released) return 'quarantined';
  const state = blob.released ? 'dropping' : 'stored';
  draft.blobs.set(blob.id, withCopy(blob, newCopy(nodeId, state, draft.nowMs)));
  return blob.released ? 'aborted' : 'found';
}

/** Nothing ever referred to it: it is known from now on, only to be dropped, so that no bind can come in between. */
const abortedUpload = (held: StoredBlob, nodeId: NodeId, nowMs: number): BlobState => ({
  id: held.blobId,
  sizeBytes: held.sizeBytes,
  md5: held.md5,
  copiesWanted: 0,
  path: plainText(held.path, 4_096),
  unreferencedSinceMs: nowMs,
  released: true,
  copiesChangedAtMs: nowMs,
  copies: [newCopy(nodeId, 'dropping', nowMs)],
});

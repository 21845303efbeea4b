import type { BlobId, NodeId } from '@dfs/shared';
import { afterFailure, copyOn, inState, withCopy, withoutCopy } from '../blob-state.ts';
import type { Draft } from '../draft/draft.ts';

/** An upload is running: in this process, or its row says so. */
export const isInUpload = (
  draft: Draft,
  blobId: BlobId,
  inProcess: ReadonlySet<BlobId>,
  atMs: number,
): boolean => {
  const expiresAtMs = draft.uploads.get(blobId);
  return inProcess.has(blobId) || (expiresAtMs !== null && expiresAtMs >= atMs);
};

export interface ReleaseQuery {
  readonly beforeMs: number;
  readonly nowMs: number;
  readonly held: ReadonlySet<BlobId>;
  readonly limit: number;
}

/** Gives up those of the candidates that, looked at again, nothing refers to or holds. Gives how many. */
export function decideRelease(
  draft: Draft,
  candidates: readonly BlobId[],
  { beforeMs, nowMs, held, limit }: ReleaseQuery,
): number {
  let released = 0;
  draft.each(candidates, (blobId) => {
    draft.uses.need(blobId);
    draft.uploads.need(blobId);
    const blob = draft.blobs.get(blobId);
    if (!blob || blob.unreferencedSinceMs === null || blob.unreferencedSinceMs >= beforeMs) return;
    if (blob.released || draft.uses.get(blobId) > 0 || released >= limit) return;
    if (isInUpload(draft, blobId, held, nowMs)) return;
    released += 1;
    if (blob.copies.length === 0) {
      draft.blobs.set(blobId, null);
      return;
    }
    const copies = blob.copies.map((copy) =>
      copy.state === 'dropping' ? copy : inState(copy, 'dropping', nowMs),
    );
    draft.blobs.set(blobId, { ...blob, released: true, copies });
  });
  return released;
}

interface Place {
  readonly blobId: BlobId;
  readonly nodeId: NodeId;
}

/** What `confirmDropped` promises. A confirmation of a copy that is not dropping (it came twice) changes nothing. */
export function decideDropped(draft: Draft, dropped: readonly Place[], nowMs: number): void {
  draft.each(dropped, ({ blobId, nodeId }) => {
    const blob = draft.blobs.get(blobId);
    const copy = blob && copyOn(blob, nodeId);
    if (copy?.state !== 'dropping') return;
    const rest = withoutCopy(blob as NonNullable<typeof blob>, nodeId, nowMs);
    const isGone = rest.copies.length === 0 && rest.unreferencedSinceMs !== null;
    draft.blobs.set(blobId, isGone ? null : rest);
    draft.log.push({
      blobId,
      target: nodeId,
      outcome: 'dropped',
      startedAtMs: nowMs,
      durationMs: 0,
    });
  });
}

/** The node left for good: nothing that it held is counted on or waited for. Gives how many rows went. */
export function decideForgetting(
  draft: Draft,
  nodeId: NodeId,
  blobIds: readonly BlobId[],
  nowMs: number,
): number {
  const forgotten = draft.each(blobIds, (blobId) => {
    const blob = draft.blobs.get(blobId);
    if (!blob || !copyOn(blob, nodeId)) return false;
    const rest = withoutCopy(blob, nodeId, nowMs);
    const isGone = rest.copies.length === 0 && rest.unreferencedSinceMs !== null;
    draft.blobs.set(blobId, isGone ? null : rest);
    return true;
  });
  return forgotten.filter(Boolean).length;
}

/** A node did not confirm: the drop is due again later. */
export function decideDeferral(
  draft: Draft,
  drops: readonly (Place & { readonly error: string; readonly retryAtMs: number })[],
): void {
  draft.each(drops, ({ blobId, nodeId, error, retryAtMs }) => {
    const blob = draft.blobs.get(blobId);
    const copy = blob && copyOn(blob, nodeId);
    if (!blob || copy?.state !== 'dropping') return;
    draft.blobs.set(blobId, withCopy(blob, afterFailure(copy, error, retryAtMs, draft.nowMs)));
  });
}

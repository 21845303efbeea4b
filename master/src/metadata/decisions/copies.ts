import type { BlobId, NodeId, ReplicationAttempt } from '@dfs/shared';
import {
  afterFailure,
  type BlobState,
  type Copy,
  copyOn,
  inState,
  newCopy,
  withCopy,
  withoutCopy,
  withPrimary,
} from '../blob-state.ts';
import type { Draft } from '../draft/draft.ts';
import type { CopyChange, LogEntry } from '../metadata-repository.ts';

type RetryAt = (attempt: ReplicationAttempt, attempts: number) => number;

/** What `recordReplications` promises. */
export function decideReplications(
  draft: Draft,
  attempts: readonly ReplicationAttempt[],
  retryAtMs: RetryAt,
): void {
  draft.each(attempts, (attempt) => {
    const blob = draft.blobs.get(attempt.blobId);
    draft.log.push(logRowOf(attempt));
    if (!blob) return;
    const after = withSourceLookedAt(
      withTargetSettled(blob, attempt, retryAtMs, draft.nowMs),
      attempt,
      draft.nowMs,
    );
    if (after !== blob) draft.blobs.set(blob.id, after);
  });
}

function withTargetSettled(
  blob: BlobState,
  attempt: ReplicationAttempt,
  retryAtMs: RetryAt,
  nowMs: number,
): BlobState {
  const copy = copyOn(blob, attempt.target);
  if (copy?.state !== 'wanted' && copy?.state !== 'corrupt') return blob;
  if (attempt.outcome === 'stored') return withCopy(blob, inState(copy, 'stored', nowMs));
  const nextAtMs = retryAtMs(attempt, copy.attempts + 1);
  const why = `${attempt.errorCode ?? 'internal'}: ${attempt.message ?? ''}`;
  return withCopy(blob, afterFailure(copy, why, nextAtMs, nowMs));
}

function withSourceLookedAt(
  blob: BlobState,
  { source, sourceIsBad, message }: ReplicationAttempt,
  nowMs: number,
): BlobState {
  if (source === undefined || sourceIsBad === undefined) return blob;
  return withDamage(blob, source, sourceIsBad, message ?? '', nowMs);
}

/** A stored copy found bad or missing is to be made anew, now; copies in other states are known not to be good. */
function withDamage(
  blob: BlobState,
  nodeId: NodeId,
  kind: 'corrupt' | 'missing',
  detail: string,
  nowMs: number,
): BlobState {
  const copy = copyOn(blob, nodeId);
  if (copy?.state !== 'stored') return blob;
  const state = kind === 'corrupt' ? 'corrupt' : 'wanted';
  return withCopy(blob, inState(copy, state, nowMs, `${kind}: ${detail}`));
}

const logRowOf = (attempt: ReplicationAttempt): Omit<LogEntry, 'id' | 'path'> => ({
  blobId: attempt.blobId,
  ...(attempt.source === undefined ? {} : { source: attempt.source }),
  target: attempt.target,
  outcome: attempt.outcome,
  ...(attempt.errorCode === undefined ? {} : { errorCode: attempt.errorCode }),
  ...(attempt.message === undefined ? {} : { message: attempt.message }),
  startedAtMs: attempt.startedAtMs,
  durationMs: attempt.durationMs,
});

export interface Damage {
  readonly blobId: BlobId;
  readonly kind: 'corrupt' | 'missing';
  readonly detail: string;
}

/** What `recordDamage` promises. Gives how many stored copies are none any more; only those are logged, so that a report repeated says nothing new. */
export function decideDamage(
  draft: Draft,
  nodeId: NodeId,
  damages: readonly Damage[],
  nowMs: number,
): number {
  const changed = draft.each(damages, ({ blobId, kind, detail }) => {
    const blob = draft.blobs.get(blobId);
    const after = blob && withDamage(blob, nodeId, kind, detail, nowMs);
    if (!after || after === blob) return false;
    draft.blobs.set(blobId, after);
    draft.log.push({
      blobId,
      target: nodeId,
      outcome: kind,
      message: detail,
      startedAtMs: nowMs,
      durationMs: 0,
    });
    return true;
  });
  return changed.filter(Boolean).length;
}

/** What `changeCopies` promises; gives how many took effect. */
export function decideCopyChanges(
  draft: Draft,
  changes: readonly CopyChange[],
  nowMs: number,
): number {
  const effects = draft.each(changes, (change) => {
    const blob = draft.blobs.get(change.blobId);
    // Of what nothing refers to, copies are neither made nor trimmed: collection takes it whole.
    if (!blob || blob.unreferencedSinceMs !== null) return false;
    // The writer ranks what it writes.
    const after = change.kind === 'rank' ? { ...blob } : changed(blob, change, nowMs);
    if (after !== blob) draft.blobs.set(blob.id, after);
    return after !== blob;
  });
  return effects.filter(Boolean).length;
}

type RowChange = Exclude<CopyChange, { readonly kind: 'rank' }>;

function changed(blob: BlobState, change: RowChange, nowMs: number): BlobState {
  const copy = copyOn(blob, change.nodeId);
  switch (change.kind) {
    case 'want':
      return copy ? blob : withCopy(blob, newCopy(change.nodeId, 'wanted', nowMs));
    case 'unwant':
      return copy?.state === 'wanted' || copy?.state === 'corrupt'
        ? withoutCopy(blob, change.nodeId, nowMs)
        : blob;
    case 'promote':
      return copy?.state === 'stored' && copy.role !== 'primary'
        ? withPrimary(blob, change.nodeId)
        : blob;
    case 'drop-surplus':
      return copy && isSurplus(blob, copy, change.confirmedNodes)
        ? withCopy(blob, inState(copy, 'dropping', nowMs))
        : blob;
  }
}

function isSurplus(blob: BlobState, copy: Copy, confirmedNodes: readonly NodeId[]): boolean {
  if (copy.state === 'dropping') return false;
  const others = blob.copies.filter(
    (other) => other !== copy && other.state === 'stored' && confirmedNodes.includes(other.nodeId),
  );
  // Nobody wants no copy at all of what is still referred to.
  return others.length >= Math.max(1, blob.copiesWanted);
}

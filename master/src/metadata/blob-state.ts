import type { BlobId, NodeId } from '@dfs/shared';
import type { BlobCopies, Replica, ReplicaRole, ReplicaState } from './metadata-repository.ts';

/** One row of `replicas`. */
export interface Copy {
  readonly nodeId: NodeId;
  readonly role: ReplicaRole;
  readonly state: ReplicaState;
  readonly attempts: number;
  /** When there is work: from when on. */
  readonly nextAttemptAtMs: number | null;
  readonly lastError: string | null;
  readonly changedAtMs: number;
  /** What `ranked` gave when the row was written. */
  readonly livingCopies: number;
}

/** One row of `blobs` with its rows of `replicas`: what each decision about copies is taken on. Never changed, only replaced. */
export interface BlobState {
  readonly id: BlobId;
  readonly sizeBytes: number;
  readonly md5: string;
  readonly copiesWanted: number;
  /** Of the name it was bound to first. */
  readonly path: string;
  readonly unreferencedSinceMs: number | null;
  /** Given up: all copies are dropping, and no name is bound to it again. */
  readonly released: boolean;
  /** When a row of its copies was last removed. */
  readonly copiesChangedAtMs: number;
  readonly copies: readonly Copy[];
}

/** Copies wanted minus rows of copies; nothing is wanted of a blob that nothing refers to. */
export function shortOf(blob: BlobState): number {
  if (blob.unreferencedSinceMs !== null) return 0;
  const rows = blob.copies.filter((copy) => copy.state !== 'dropping').length;
  return Math.max(0, blob.copiesWanted - rows);
}

/** Something refers to it, and no copy is stored. */
export const isLost = (blob: BlobState) =>
  blob.unreferencedSinceMs === null && !blob.copies.some((copy) => copy.state === 'stored');

/** More copies than this are no reason to make another one later still. */
export const livingCopiesMax = 3;

/**
 * With the rank of each copy that is to be made: how many copies of its blob are stored on nodes that are not lost. Where it is lowest, a file is closest
 * to be lost. Copies whose rank did not change stay the same objects.
 */
export function ranked(blob: BlobState, lostNodes: ReadonlySet<NodeId>): BlobState {
  const stored = blob.copies.filter(({ state }) => state === 'stored');
  const living = stored.filter(({ nodeId }) => !lostNodes.has(nodeId)).length;
  const rank = Math.min(livingCopiesMax, living);
  const rankOf = ({ state }: Copy) => (state === 'wanted' || state === 'corrupt' ? rank : 0);
  if (blob.copies.every((copy) => copy.livingCopies === rankOf(copy))) return blob;
  const copies = blob.copies.map((copy) =>
    copy.livingCopies === rankOf(copy) ? copy : { ...copy, livingCopies: rankOf(copy) },
  );
  return { ...blob, copies };
}

/** Bytes of the copies that are to be made, whether they have a row or wait for a node. */
export const missingBytesOf = (blob: BlobState): number => {
  const toBeMade = blob.copies.filter(({ state }) => state === 'wanted' || state === 'corrupt');
  return blob.sizeBytes * (toBeMade.length + shortOf(blob));
};

export const copyOn = (blob: BlobState, nodeId: NodeId): Copy | undefined =>
  blob.copies.find((copy) => copy.nodeId === nodeId);

/** With this row, in place of the one for its node if there is one. */
export function withCopy(blob: BlobState, copy: Copy): BlobState {
  const others = blob.copies.filter((other) => other.nodeId !== copy.nodeId);
  return withSettledPrimary({ ...blob, copies: [...others, copy] });
}

/** Without the row for this node. */
export function withoutCopy(blob: BlobState, nodeId: NodeId, nowMs: number): BlobState {
  const copies = blob.copies.filter((copy) => copy.nodeId !== nodeId);
  return withSettledPrimary({ ...blob, copies, copiesChangedAtMs: nowMs });
}

export function newCopy(nodeId: NodeId, state: ReplicaState, nowMs: number): Copy {
  return {
    nodeId,
    role: 'replica',
    state,
    attempts: 0,
    nextAttemptAtMs: state === 'stored' ? null : nowMs,
    lastError: null,
    changedAtMs: nowMs,
    livingCopies: 0,
  };
}

/** The copy in another state, with work (if there is some) due now. */
export const inState = (copy: Copy, state: ReplicaState, nowMs: number, why?: string): Copy => ({
  ...newCopy(copy.nodeId, state, nowMs),
  role: copy.role,
  lastError: why ?? null,
});

/** The copy after a failure: counted, and due again later. */
export const afterFailure = (
  copy: Copy,
  error: string,
  retryAtMs: number,
  nowMs: number,
): Copy => ({
  ...copy,
  attempts: copy.attempts + 1,
  nextAttemptAtMs: retryAtMs,
  lastError: error,
  changedAtMs: nowMs,
});

/** The primary role given to this copy. */
export const withPrimary = (blob: BlobState, nodeId: NodeId): BlobState => ({
  ...blob,
  copies: blob.copies.map((copy) => {
    const role = copy.nodeId === nodeId ? 'primary' : 'replica';
    return copy.role === role ? copy : { ...copy, role };
  }),
});

/** Moves the primary role to a stored copy when its holder is not one; while none is stored it stays where it is. */
function withSettledPrimary(blob: BlobState): BlobState {
  const primary = blob.copies.find((copy) => copy.role === 'primary');
  if (primary?.state === 'stored') return blob;
  const heir = blob.copies.find((copy) => copy.state === 'stored') ?? primary ?? blob.copies[0];
  return heir === undefined || heir === primary ? blob : withPrimary(blob, heir.nodeId);
}

export const replicaOf = (blobId: BlobId, copy: Copy): Replica => ({
  blobId,
  nodeId: copy.nodeId,
  role: copy.role,
  state: copy.state,
  attempts: copy.attempts,
  ...(copy.lastError === null ? {} : { lastError: copy.lastError }),
});

export const blobCopiesOf = (blob: BlobState, path: string): BlobCopies => ({
  blobId: blob.id,
  sizeBytes: blob.sizeBytes,
  md5: blob.md5,
  copiesWanted: blob.copiesWanted,
  path,
  replicas: blob.copies.map((copy) => ({
    ...replicaOf(blob.id, copy),
    ...(copy.state === 'wanted' || copy.state === 'corrupt'
      ? { livingCopies: copy.livingCopies }
      : {}),
  })),
});

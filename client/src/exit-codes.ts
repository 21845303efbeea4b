import { StoreError, type StoreErrorKind } from '@dfs/shared';

/** What the command's exit code tells a script. */
export const exitCodes = {
  failed: 1,
  usage: 2,
  notFound: 3,
  denied: 4,
  conflict: 5,
  unavailable: 6,
  damaged: 7,
  /** Of `dfs status` alone. */
  healing: 8,
  lost: 9,
} as const;

export const exitCodesText = `  0  done
  1  something else failed
  2  the command was called wrongly
  3  no such file or directory
  4  the key is missing, wrong or not enough
  5  the name is taken, or changed meanwhile
  6  the store cannot be reached, is not ready or has no room: try again later
  7  the bytes do not fit their MD5
  8  dfs status: copies are missing, or on nodes that are away or in doubt
  9  dfs status: something cannot be read now`;

const codeOfKind: Readonly<Record<StoreErrorKind, number>> = {
  'invalid-request': exitCodes.usage,
  'invalid-path': exitCodes.usage,
  'digest-mismatch': exitCodes.damaged,
  'incomplete-body': exitCodes.failed,
  unauthorized: exitCodes.denied,
  forbidden: exitCodes.denied,
  'not-found': exitCodes.notFound,
  'method-not-allowed': exitCodes.failed,
  conflict: exitCodes.conflict,
  'not-a-directory': exitCodes.conflict,
  'is-a-directory': exitCodes.conflict,
  'idempotency-conflict': exitCodes.conflict,
  'precondition-failed': exitCodes.conflict,
  'too-large': exitCodes.failed,
  'unsupported-media-type': exitCodes.usage,
  'range-not-satisfiable': exitCodes.failed,
  'wrong-node': exitCodes.unavailable,
  'other-server': exitCodes.usage,
  'wrong-cluster': exitCodes.failed,
  'stale-epoch': exitCodes.failed,
  expired: exitCodes.failed,
  fenced: exitCodes.failed,
  'too-many-requests': exitCodes.unavailable,
  unavailable: exitCodes.unavailable,
  'in-recovery': exitCodes.unavailable,
  corrupt: exitCodes.damaged,
  'no-room': exitCodes.unavailable,
  cancelled: exitCodes.failed,
  internal: exitCodes.failed,
};

/** The exit code for an error. */
export const exitCodeOf = (error: unknown): number =>
  error instanceof StoreError ? codeOfKind[error.kind] : exitCodes.failed;

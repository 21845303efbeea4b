import { createHash } from 'node:crypto';
import { type FilePath, StoreError } from '@dfs/shared';
import type { Draft, KnownKey } from '../draft/draft.ts';
import type { BindOutcome, BindRequest } from '../metadata-repository.ts';

/** How long an idempotency key is known. */
export const keyKeptMs = 24 * 60 * 60_000;

/** How a key stands in the database: a digest, since clients choose keys of any length. */
export const storedKeyOf = (key: string) => createHash('sha256').update(key).digest('hex');

/** What the bind with this request's key gave, when there was one. */
export function findKnown(
  draft: Draft,
  { idempotencyKey, path }: BindRequest,
): BindOutcome | undefined {
  if (idempotencyKey === undefined) return undefined;
  const known = draft.keys.get(storedKeyOf(idempotencyKey));
  return known ? outcomeOfKey(known, path, draft.nowMs) : undefined;
}

/** What a known key's bind gave; undefined when it is older than a day. Rejects with `idempotency-conflict` when it was for another path. */
export function outcomeOfKey(
  known: KnownKey,
  path: FilePath,
  nowMs: number,
): BindOutcome | undefined {
  if (known.createdAtMs < nowMs - keyKeptMs) return undefined;
  if (known.path !== path) {
    // Not for which one: whoever asks may have no right to know of it.
    throw new StoreError(
      'idempotency-conflict',
      'The idempotency key was used for another path already.',
      { hint: 'Use a new key for each upload.' },
    );
  }
  return { ...(JSON.parse(known.outcome) as BindOutcome), repeated: true };
}

/** Keeps the outcome for who comes again with the same key. */
export function remember(
  draft: Draft,
  { idempotencyKey, path }: BindRequest,
  outcome: BindOutcome,
): void {
  if (idempotencyKey === undefined) return;
  draft.keys.set(storedKeyOf(idempotencyKey), {
    path,
    outcome: JSON.stringify(outcome),
    createdAtMs: draft.nowMs,
  });
}

/**
 * The one decision on failures between programs: what to do next, by error code. Pure; used by uploads, downloads, both
 * replication queues and the repair loop.
 *
 * - `same`: the same request again after `delayMs`
 * - `refresh`: once more after asking for the current map of nodes (another node answered)
 * - `other`: the same work with another node at once (another source, target or primary)
 * - `never`: the request itself is wrong; trying again cannot help
 */
export interface RetryDecision {
  readonly action: 'same' | 'refresh' | 'other' | 'never';
  readonly delayMs: number;
}

const baseDelayMs = 250;
const maxDelayMs = 5 * 60_000;
/** Nobody is made to wait longer, whatever a `Retry-After` says. */
const askedDelayMaxMs = 60 * 60_000;

/** Exponential with full use of `random` in its upper half, so that many failures do not come back together. */
export function backoffMs(attempt: number, random: number): number {
  const ceiling = Math.min(maxDelayMs, baseDelayMs * 2 ** Math.min(attempt - 1, 20));
  return Math.round(ceiling * (0.5 + random / 2));
}

const networkCodes: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ECONNABORTED',
  'UND_ERR_SOCKET',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
]);

/** True for codes that mean "no answer, or a broken one": the outcome at the other side is unknown. */
export const isNetworkErrorCode = (code: string) => networkCodes.has(code);

export interface Failure {
  /** A `StoreErrorKind`, a code of Node's network errors, or an HTTP status as text. */
  readonly code: string;
  /** Attempts made so far at this work, this one included: 1 after the first failure. */
  readonly attempt: number;
  readonly retryAfterSeconds?: number | undefined;
}

/** What to do after a failure. `random` is in [0, 1). */
export function decideRetry(failure: Failure, random: number): RetryDecision {
  const backoff = backoffMs(failure.attempt, random);
  // At least as long as was asked for; a zero that is repeated must not become a storm.
  const askedMs = Math.min((failure.retryAfterSeconds ?? 0) * 1000, askedDelayMaxMs);
  const waited = Math.max(backoff, askedMs);
  switch (failure.code) {
    case 'wrong-node':
    case '421':
      return failure.attempt <= 1
        ? { action: 'refresh', delayMs: 0 }
        : { action: 'other', delayMs: backoff };
    case 'too-many-requests':
    case '429':
      return { action: 'same', delayMs: waited };
    case 'unavailable':
    case 'in-recovery':
    case '502':
    case '503':
    case '504':
      return { action: 'same', delayMs: waited };
    case 'internal':
    case 'no-room':
    case 'corrupt':
    case 'not-found':
    case 'expired':
    case '500':
    case '507':
      return { action: 'other', delayMs: backoff };
    default:
      return isNetworkErrorCode(failure.code)
        ? { action: 'same', delayMs: backoff }
        : { action: 'never', delayMs: maxDelayMs };
  }
}

import { describe, expect, it } from 'vitest';
import type { storeErrorKinds } from './errors.ts';
import { backoffMs, decideRetry, isNetworkErrorCode } from './retry-policy.ts';

/** What is to be done after each kind of refusal; the compiler asks for new ones. */
const actions: Record<(typeof storeErrorKinds)[number], string> = {
  'invalid-request': 'never',
  'invalid-path': 'never',
  'digest-mismatch': 'never',
  'incomplete-body': 'never',
  unauthorized: 'never',
  forbidden: 'never',
  'not-found': 'other',
  'method-not-allowed': 'never',
  conflict: 'never',
  'not-a-directory': 'never',
  'is-a-directory': 'never',
  'idempotency-conflict': 'never',
  'precondition-failed': 'never',
  'too-large': 'never',
  'unsupported-media-type': 'never',
  'range-not-satisfiable': 'never',
  'wrong-node': 'refresh',
  'other-server': 'never',
  'wrong-cluster': 'never',
  'stale-epoch': 'never',
  expired: 'other',
  fenced: 'never',
  'too-many-requests': 'same',
  unavailable: 'same',
  'in-recovery': 'same',
  corrupt: 'other',
  'no-room': 'other',
  cancelled: 'never',
  internal: 'other',
};

describe('what to do after a failure', () => {
  it.each(Object.entries(actions))('%s: %s', (code, action) => {
    expect(decideRetry({ code, attempt: 1 }, 0.5).action).toBe(action);
  });

  it.each([
    ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH'],
    ...['ENETDOWN', 'ENOTFOUND', 'EAI_AGAIN', 'ECONNABORTED', 'UND_ERR_SOCKET'],
    ...['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT'],
  ])('%s, no answer or a broken one: the same again, later', (code) => {
    expect(isNetworkErrorCode(code)).toBe(true);
    expect(decideRetry({ code, attempt: 1 }, 0)).toEqual({ action: 'same', delayMs: 125 });
  });

  it.each([
    ['421', 'refresh'],
    ['429', 'same'],
    ['500', 'other'],
    ['502', 'same'],
    ['503', 'same'],
    ['504', 'same'],
    ['507', 'other'],
    ...['400', '401', '403', '404', '405', '409', '410', '412', '413', '416', '501'].map(
      (status) => [status, 'never'],
    ),
    ['EACCES', 'never'],
    ['', 'never'],
    ['constructor', 'never'],
  ] as [string, string][])('status or code %j: %s', (code, action) => {
    expect(decideRetry({ code, attempt: 1 }, 0.5).action).toBe(action);
  });

  it('asks for the map once, at once; after that it takes another node', () => {
    expect(decideRetry({ code: 'wrong-node', attempt: 1 }, 0.5)).toEqual({
      action: 'refresh',
      delayMs: 0,
    });
    expect(decideRetry({ code: 'wrong-node', attempt: 2 }, 0.5).action).toBe('other');
    expect(decideRetry({ code: '421', attempt: 3 }, 0.5).action).toBe('other');
  });

  it.each(['too-many-requests', '429', 'unavailable', '503'])(
    'waits after %s as long as it is asked to',
    (code) => {
      const failure = { code, attempt: 1, retryAfterSeconds: 7 };
      expect(decideRetry(failure, 0)).toEqual({ action: 'same', delayMs: 7_000 });
    },
  );

  it.each([0, -1, Number.MIN_VALUE])(
    'does not storm when it is asked to wait %d s',
    (retryAfterSeconds) => {
      expect(decideRetry({ code: '503', attempt: 3, retryAfterSeconds }, 0).delayMs).toBe(500);
    },
  );

  it('does not wait for ever', () => {
    const failure = { code: '503', attempt: 1, retryAfterSeconds: 1e12 };
    expect(decideRetry(failure, 0).delayMs).toBe(3_600_000);
  });
});

describe('the wait between attempts', () => {
  it.each([
    [1, 0, 125],
    [1, 1, 250],
    [2, 0, 250],
    [2, 1, 500],
    [5, 1, 4_000],
    [11, 1, 256_000],
    [12, 1, 300_000],
    [10_000, 1, 300_000],
    [10_000, 0, 150_000],
  ])('before attempt %i + 1, with chance %d: %i ms', (attempt, random, delayMs) => {
    expect(backoffMs(attempt, random)).toBe(delayMs);
  });
});

import { StoreError } from './errors.ts';
import { isNetworkErrorCode } from './retry-policy.ts';

/** An error of this kind carries the code of what went wrong on the way. */
export class NetworkError extends Error {
  override readonly name = 'NetworkError';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * The code of a failure as `decideRetry` takes it: of a network error (looked for in causes too), else the kind of a `StoreError`, else `internal`.
 */
export function networkCodeOf(error: unknown): string {
  const code = networkCodeWithin(error, 0);
  if (code !== undefined) return code;
  return error instanceof StoreError ? error.kind : 'internal';
}

/** Causes can form a ring. */
const causesMax = 8;

function networkCodeWithin(error: unknown, depth: number): string | undefined {
  if (typeof error !== 'object' || error === null || depth > causesMax) return undefined;
  const { code, cause, errors } = error as { code?: unknown; cause?: unknown; errors?: unknown };
  if (typeof code === 'string' && isNetworkErrorCode(code)) return code;
  // A host with several addresses fails with one error for each of them.
  const inner: readonly unknown[] = Array.isArray(errors) ? [cause, ...errors] : [cause];
  for (const each of inner) {
    const found = networkCodeWithin(each, depth + 1);
    if (found !== undefined) return found;
  }
  return undefined;
}

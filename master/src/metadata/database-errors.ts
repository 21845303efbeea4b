import { isNetworkErrorCode, StoreError } from '@dfs/shared';

const retryAfterSeconds = 1;
/** PostgreSQL: connection exceptions, insufficient resources, an operator's intervention (shutdown, restart). */
const passingPostgresClasses = ['08', '53', '57'];
const passingSqliteCodes: ReadonlySet<string> = new Set([
  'SQLITE_BUSY',
  'SQLITE_LOCKED',
  'SQLITE_IOERR',
  'SQLITE_CANTOPEN',
]);

/**
 * The one place where errors of either database get our words: `unavailable` when trying later can help (no connection, locked, no room
 * on its disk), else `internal`. What is a `StoreError` already stays as it is.
 */
export function storeErrorOf(cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  const { code, message } = cause as { code?: string; message?: string };
  if (code === 'SQLITE_FULL') {
    return unavailable('The disk of the metadata database is full.', 'Make room on it.', cause);
  }
  if (isPassing(code, message ?? '')) {
    return unavailable(
      'The metadata database does not answer.',
      'Try again; look whether the database runs.',
      cause,
    );
  }
  if (code === 'SQLITE_CORRUPT' || code === 'SQLITE_NOTADB') {
    return new StoreError('internal', 'The metadata database is damaged.', {
      hint: 'Keep its files, and put a backup in their place.',
      cause,
    });
  }
  return new StoreError('internal', 'The metadata database refused a query.', { cause });
}

const unavailable = (message: string, hint: string, cause: unknown) =>
  new StoreError('unavailable', message, { hint, retryAfterSeconds, cause });

function isPassing(code: string | undefined, message: string): boolean {
  // Neither the driver's "terminated" nor the pool's time-out has a code.
  if (code === undefined) return /connection|timeout acquiring/i.test(message);
  return (
    isNetworkErrorCode(code) ||
    passingSqliteCodes.has(code) ||
    passingPostgresClasses.some((start) => code.length === 5 && code.startsWith(start))
  );
}

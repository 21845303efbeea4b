/** Which connections of the database a pool makes. */
export interface ConnectionPart {
  readonly isWriter: boolean;
  /** Called for each connection that may write. */
  readonly made?: () => void;
}

export const readersMax = 4;
/** How long a query waits for one of the connections. */
export const acquireTimeoutMs = 10_000;

export type Done = (error: Error | null) => void;

/**
 * What fails is thrown, and logged where it stops; with `compileSqlOnError: false` beside it, without the values of the statement, which would be a whole batch.
 */
export const quiet = { warn: () => {}, error: () => {}, deprecate: () => {}, debug: () => {} };

/**
 * What a node did since it started. Plain numbers, since they are counted on the hot path;
 * `/metrics` shows them.
 */
export interface NodeCounters {
  putCount: number;
  putBytes: number;
  getCount: number;
  getBytes: number;
  deleteCount: number;
  pullCount: number;
  pullBytes: number;
  damageCount: number;
  /** Being served at the moment. */
  requestsNow: number;
  /** Requests that were refused or failed, by kind of error. */
  readonly errors: Map<string, number>;
}

export const createCounters = (): NodeCounters => ({
  putCount: 0,
  putBytes: 0,
  getCount: 0,
  getBytes: 0,
  deleteCount: 0,
  pullCount: 0,
  pullBytes: 0,
  damageCount: 0,
  requestsNow: 0,
  errors: new Map(),
});

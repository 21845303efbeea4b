import { StoreError } from '@dfs/shared';
import type { AccessKeyRecord, Rights } from '../../metadata/rights.ts';

type AccessKeyRows = Pick<
  Rights,
  'addAccessKey' | 'removeAccessKey' | 'listAccessKeys' | 'resealAccessKeys'
>;

/** The rows of access keys without a database, as their promises in `Rights` have it. */
export class MemoryAccessKeyRows implements AccessKeyRows {
  readonly rows = new Map<string, AccessKeyRecord>();
  /** Thrown by the next call that changes something, after it was done. */
  failure: Error | undefined;

  async addAccessKey(key: AccessKeyRecord): Promise<void> {
    if (this.rows.has(key.id)) throw new StoreError('conflict', `There is a key ${key.id}.`);
    this.rows.set(key.id, key);
    this.#failOnce();
  }

  async resealAccessKeys(secrets: ReadonlyMap<string, string>): Promise<void> {
    for (const [id, secret] of secrets) {
      const row = this.rows.get(id);
      if (row) this.rows.set(id, { ...row, secret });
    }
    this.#failOnce();
  }

  async removeAccessKey(id: string): Promise<boolean> {
    const isThere = this.rows.delete(id);
    this.#failOnce();
    return isThere;
  }

  async listAccessKeys(): Promise<readonly AccessKeyRecord[]> {
    return [...this.rows.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  #failOnce(): void {
    const { failure } = this;
    this.failure = undefined;
    if (failure) throw failure;
  }
}

import type {
  AccessKeyAnswer,
  AccessKeysAnswer,
  NewAccessKeyAnswer,
  NewAccessKeyRequest,
} from '@dfs/shared';
import type { StoreApi } from '../api.ts';

const mount = '/api/v1/keys';

/** Keys that open a part of the tree to programs and people. Every rejection is a `StoreError`. */
export class AccessKeys {
  readonly #api: StoreApi;

  constructor(api: StoreApi) {
    this.#api = api;
  }

  /** Makes one. Its secret is in `key`, and nowhere later. Rejects with `forbidden` outside of what the caller administers, and with `conflict` where the cluster has no cluster key. */
  async add(request: NewAccessKeyRequest = {}): Promise<NewAccessKeyAnswer> {
    const { text } = await this.#api.send({ method: 'POST', path: mount, json: request });
    return JSON.parse(text) as NewAccessKeyAnswer;
  }

  /** Those that the caller may administer, by id. */
  async list(): Promise<readonly AccessKeyAnswer[]> {
    return (await this.#api.getJson<AccessKeysAnswer>(mount)).keys;
  }

  /** From now on it opens nothing. Rejects with `not-found`. */
  async remove(id: string): Promise<void> {
    await this.#api.send({ method: 'DELETE', path: `${mount}/${encodeURIComponent(id)}` });
  }
}

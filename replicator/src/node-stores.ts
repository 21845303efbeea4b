import type { SecureContext } from 'node:tls';
import type { BlobPeer, NodeId } from '@dfs/shared';
import { type ClusterKeyring, HttpBlobStore } from '@dfs/shared/cluster';

export interface NodeStoresOptions {
  readonly find: (id: NodeId) => { readonly url: string } | undefined;
  readonly epoch: () => number;
  readonly keyring: ClusterKeyring;
  readonly trust: SecureContext | undefined;
}

/** The nodes as blob stores, one each, always at the address of the moment. */
export class NodeStores {
  readonly #options: NodeStoresOptions;
  readonly #stores = new Map<NodeId, HttpBlobStore>();

  constructor(options: NodeStoresOptions) {
    this.#options = options;
  }

  of(id: NodeId): Pick<BlobPeer, 'pull'> {
    const known = this.#stores.get(id);
    if (known) return known;
    const { find, epoch, keyring, trust } = this.#options;
    const store = new HttpBlobStore({
      nodeId: id,
      url: () => find(id)?.url ?? '',
      epoch,
      keyring,
      trust,
    });
    this.#stores.set(id, store);
    return store;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#stores.values()].map((store) => store.close()));
  }
}

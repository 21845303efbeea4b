import type { SecureContext } from 'node:tls';
import { type ClusterKeyring, HttpBlobStore } from '@dfs/shared/cluster';
import type { HeardNode } from '../cluster/refused-nodes.ts';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import type { RestoreSource } from './restore-source.ts';

/** A node at the address from which it was heard. It is only read from. */
export function nodeSourceOf(
  { id, name, url }: HeardNode,
  parts: {
    readonly metadata: Pick<MetadataRepository, 'identity'>;
    readonly keyring: ClusterKeyring;
    readonly trust: SecureContext | undefined;
  },
): RestoreSource {
  const store = new HttpBlobStore({
    nodeId: id,
    url: () => url,
    keyring: parts.keyring,
    trust: parts.trust,
    epoch: () => parts.metadata.identity().epoch,
  });
  return {
    id,
    name,
    url,
    store,
    journal: store.journal,
    status: (signal) => store.status(signal),
    close: () => store.close(),
  };
}

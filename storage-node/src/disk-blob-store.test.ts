import { systemClock } from '@dfs/shared';
import { ClusterKeyring } from '@dfs/shared/cluster';
import { describeBlobStore, testClusterId } from '@dfs/shared/testing';
import { describe } from 'vitest';
import { BlobFetcher } from './blob-fetcher.ts';
import { flipByte, openTestDisk } from './testing/test-disk.ts';
import { startTestNode } from './testing/test-node.ts';

const clusterKey = 'the key of this test';

describeBlobStore('DiskBlobStore', async () => {
  const other = await startTestNode({ clusterKey });
  await other.node.registered;
  const fetcher = new BlobFetcher({
    keyring: ClusterKeyring.of(clusterKey),
    clusterId: () => testClusterId,
    clock: systemClock,
  });
  const disk = await openTestDisk({ fetchBlob: fetcher.fetch });
  return {
    store: disk.store,
    corrupt: (id, offset) => flipByte(disk.pathOf(id), offset),
    peer: {
      store: other.client,
      source: { nodeId: other.node.nodeId, url: other.url },
      corrupt: (id, offset) => flipByte(other.blobPath(id), offset),
    },
    close: async () => {
      await fetcher.close();
      await disk.close();
      await other.close();
    },
  };
});

describe.each([
  ['with a cluster key', clusterKey],
  ['without a key, on loopback', undefined],
])('a storage node over HTTP %s', (name, key) => {
  describeBlobStore(name, async () => {
    const keyed = key === undefined ? {} : { clusterKey: key };
    const [node, other] = await Promise.all([startTestNode(keyed), startTestNode(keyed)]);
    await Promise.all([node.node.registered, other.node.registered]);
    return {
      store: node.client,
      corrupt: (id, offset) => flipByte(node.blobPath(id), offset),
      peer: {
        store: other.client,
        source: { nodeId: other.node.nodeId, url: other.url },
        corrupt: (id, offset) => flipByte(other.blobPath(id), offset),
      },
      close: async () => {
        await Promise.all([node.close(), other.close()]);
      },
    };
  });
});

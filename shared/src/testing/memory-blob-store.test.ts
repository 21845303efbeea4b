import { newNodeId } from '../ids.ts';
import { describeBlobStore } from './describe-blob-store.ts';
import { MemoryBlobStore } from './memory-blob-store.ts';

describeBlobStore('MemoryBlobStore', async () => {
  const other = new MemoryBlobStore();
  const source = { nodeId: newNodeId(), url: 'http://127.0.0.1:1' };
  const store = new MemoryBlobStore({
    peerOf: (nodeId) => (nodeId === source.nodeId ? other : undefined),
  });
  return {
    store,
    corrupt: (id, offset) => store.corrupt(id, offset),
    peer: { store: other, source, corrupt: (id, offset) => other.corrupt(id, offset) },
  };
});

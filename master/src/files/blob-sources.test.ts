import { fileIdOfFirstBlob, type NodeId, newBlobId } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import type { NodeSnapshot } from '../cluster/node-directory.ts';
import type { Replica } from '../metadata/metadata-repository.ts';
import { makeBlob, makeNode } from '../replication/test-fixtures.ts';
import { blobSourcesOf } from './blob-sources.ts';

const owner = makeNode({ name: 'owner', url: 'http://owner:7050/' });
const cacher = makeNode({ name: 'cacher', url: 'http://cacher:7050' });
const unheard = makeNode({ name: 'unheard', url: '' });

/** Where nodes are told to find a blob that `owner` stores and `cacher` caches. */
async function sourcesOf(
  state: NodeSnapshot['state'],
  more: { readonly isHot?: boolean; readonly inFlight?: number } = {},
): Promise<string[] | undefined> {
  const blobId = newBlobId();
  const { isHot = false, inFlight = 0 } = more;
  const all = [{ ...owner, state, inFlight }, cacher, unheard];
  const { replicas } = makeBlob([{ nodeId: owner.id }, { nodeId: unheard.id }]);
  const dependencies = {
    metadata: { replicasOf: async () => new Map<string, readonly Replica[]>([[blobId, replicas]]) },
    nodes: { find: (id: NodeId) => all.find((node) => node.id === id) },
    caching: { holdersOf: () => [cacher.id], isHot: () => isHot },
  };
  const sources = await blobSourcesOf(dependencies as never, {
    id: fileIdOfFirstBlob(blobId),
    blobs: [{ blobId, offsetBytes: 0, sizeBytes: 1, md5: '' }],
  });
  return sources.get(blobId)?.map(({ url }) => url);
}

describe('where a node is told to find a blob', () => {
  it.each<[string, string[], NodeSnapshot['state'], { isHot?: boolean; inFlight?: number }]>([
    [
      'at its stored copy, then where it is cached',
      ['http://owner:7050', 'http://cacher:7050'],
      'up',
      {},
    ],
    [
      'where it is cached, when its owner is down',
      ['http://cacher:7050', 'http://owner:7050'],
      'down',
      {},
    ],
    [
      'where the fewest read, when it is hot',
      ['http://cacher:7050', 'http://owner:7050'],
      'up',
      { isHot: true, inFlight: 3 },
    ],
  ])('is %s', async (_, expected, state, more) => {
    expect(await sourcesOf(state, more)).toEqual(expected);
  });
});

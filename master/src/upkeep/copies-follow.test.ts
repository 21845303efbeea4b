import { parseFilePath } from '@dfs/shared';
import { recordingLogger } from '@dfs/shared/testing';
import { afterEach, expect, it } from 'vitest';
import { GracePeriod } from '../replication/grace-period.ts';
import { TestCluster, type TestNode } from '../replication/test-cluster.ts';
import { TreeUpkeep } from './tree-upkeep.ts';

let cluster: TestCluster | undefined;
afterEach(() => cluster?.close());

it('has copies made within seconds after a number was raised, and dropped after it was lowered', async () => {
  cluster = await TestCluster.start({ nodes: 3 });
  const { metadata, repair, clock, directory } = cluster;
  const upkeep = new TreeUpkeep({
    grace: new GracePeriod(clock, 0),
    metadata,
    nodes: directory,
    repair,
    clock,
    logger: recordingLogger().logger,
    config: { copies: 1, gcGraceMs: 0 },
  });
  const [first] = directory.nodes as [TestNode];
  const blob = await cluster.put([first], { copiesWanted: 1, path: '/photos/2030/a.jpg' });
  await cluster.settle();
  await metadata.setCopies(parseFilePath('/photos'), 3);
  await upkeep.copies.step();
  await cluster.settle(5);
  expect(cluster.holdersOf(blob)).toHaveLength(3);
  await metadata.setCopies(parseFilePath('/photos/2030'), 2);
  await upkeep.copies.step();
  await cluster.settle(5);
  expect(cluster.holdersOf(blob)).toHaveLength(2);
  await metadata.setCopies(parseFilePath('/photos/2030'), null);
  await upkeep.copies.step();
  await cluster.settle(5);
  expect(cluster.holdersOf(blob)).toHaveLength(3);
});

import { ClusterKeyring, HttpBlobStore } from '@dfs/shared/cluster';
import { describeJournalKeeper } from '@dfs/shared/testing';
import { damageRecord, openTestJournal } from '../testing/test-journal.ts';
import { startTestNode } from '../testing/test-node.ts';

describeJournalKeeper('DiskJournal', async () => {
  const { journal, folder, close } = await openTestJournal();
  return { keeper: journal, damage: (number) => damageRecord(folder, number), close };
});

describeJournalKeeper('DiskJournal of many small segments', async () => {
  const { journal, folder, close } = await openTestJournal({ segmentMaxBytes: 300 });
  return { keeper: journal, damage: (number) => damageRecord(folder, number), close };
});

const clusterKey = 'the key of this test';

describeJournalKeeper('a storage node over HTTP', async () => {
  const test = await startTestNode({ clusterKey });
  await test.node.registered;
  const client = new HttpBlobStore({
    nodeId: test.node.nodeId,
    url: () => test.url,
    keyring: ClusterKeyring.of(clusterKey),
    epoch: () => 9,
  });
  return {
    keeper: client.journal,
    damage: (number) => damageRecord(`${test.node.dataDir}/journal`, number),
    close: async () => {
      await client.close();
      await test.close();
    },
  };
});

import { type Heartbeat, newFileId, newNodeId, systemClock } from '@dfs/shared';
import { ClusterKeyring } from '@dfs/shared/cluster';
import { FakeClock, recordingLogger, temporaryDirectory, testClusterId } from '@dfs/shared/testing';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { DropClock } from './drop-clock.ts';
import { HeartbeatLoop } from './heartbeat-loop.ts';
import { MasterClient } from './master-client.ts';
import { NodeIdentity } from './node-identity.ts';
import { FakeMaster } from './testing/fake-master.ts';

let master: FakeMaster;
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeEach(async () => {
  master = await FakeMaster.start();
  directory = await temporaryDirectory();
});
afterEach(async () => {
  await master.close();
  await directory.remove();
});

it('what was read is told once, also when the thread sends a heartbeat again', async () => {
  const clock = new FakeClock();
  const client = new MasterClient({
    url: master.url,
    keyring: ClusterKeyring.of(),
    trust: undefined,
  });
  const given: Heartbeat[] = [];
  const reads = [{ fileId: newFileId(), count: 3 }];
  const heartbeats = new HeartbeatLoop({
    master: client,
    identity: await NodeIdentity.open(directory.path, 'attic'),
    vitals: { probeDisk: async () => undefined } as never,
    dropClock: new DropClock(clock),
    pulse: { beat: (heartbeat) => given.push(heartbeat), pause: () => undefined },
    clock: systemClock,
    logger: recordingLogger().logger,
    everyMs: 50,
    random: () => 0,
    describe: () =>
      ({
        nodeId: newNodeId(),
        clusterId: testClusterId,
        caches: { bytes: 1, count: 1, blobs: [], reads },
      }) as never,
  });
  await heartbeats.start();
  await heartbeats.stop();
  await client.close();
  expect(master.heartbeats[0]?.caches).toMatchObject({ bytes: 1, reads });
  expect(given[0]?.caches).toEqual({ bytes: 1, count: 1, blobs: [], reads: [] });
});

import { Readable } from 'node:stream';
import type { JournalRecord, NodeId } from '@dfs/shared';
import { HttpBlobStore, journalRecordsOf } from '@dfs/shared/cluster';
import {
  linesOfRecords,
  makeJournalRecord,
  makeSnapshot,
  seededRandom,
  temporaryDirectory,
} from '@dfs/shared/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeMaster } from '../testing/fake-master.ts';
import { NodeProcess } from '../testing/node-process.ts';

const rounds = 8;

/** DFS_SIMULATION_SEED repeats the sizes and counts of a failure; when exactly the kill lands is the machine's own. */
const seed = Number(process.env['DFS_SIMULATION_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const random = seededRandom(seed);

let master: FakeMaster;
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeAll(async () => {
  master = await FakeMaster.start();
  directory = await temporaryDirectory();
});
afterAll(async () => {
  await master.close();
  await directory.remove();
});

async function start() {
  const node = new NodeProcess({ DFS_DATA: directory.path, DFS_MASTER_URL: master.url });
  const { url, nodeId } = await node.ready;
  const client = new HttpBlobStore({ nodeId: nodeId as NodeId, url: () => url, epoch: () => 1 });
  return { node, client, journal: client.journal };
}

type Journal = Awaited<ReturnType<typeof start>>['journal'];

/** Everything that was ever sent, by number, and how much of it was acknowledged. */
const sent: JournalRecord[] = [];
let acknowledged = 0;
let coveredBy = 0;

/** Appends batches, with a snapshot now and then, until the node is gone. */
async function appendUntilDead(journal: Journal, onAcknowledged: () => void): Promise<void> {
  let { last } = await journal.journalStatus();
  for (let batch = 0; ; batch += 1) {
    const count = 1 + Math.floor(random() ** 3 * 200);
    // What was not acknowledged may be there or not; what is there is what was sent.
    while (sent.length < last + count) {
      const sizeBytes = 100 + Math.floor(random() ** 4 * 20_000);
      sent.push(makeJournalRecord(sent.length + 1, { sizeBytes }));
    }
    try {
      ({ last } = await journal.appendRecords(linesOfRecords(sent.slice(last, last + count))));
      acknowledged = last;
      onAcknowledged();
      if (batch % 10 !== 9) continue;
      const from = last - 5;
      const bytes = makeSnapshot({ from, to: last, rows: 2_000 });
      await journal.putSnapshot({ epoch: 1, from }, Readable.from([bytes]));
      coveredBy = from;
    } catch {
      return;
    }
  }
}

async function expectAll(journal: Journal): Promise<void> {
  const status = await journal.journalStatus();
  expect(status.last).toBeGreaterThanOrEqual(acknowledged);
  expect(status.last).toBeLessThanOrEqual(sent.length);
  const base = status.snapshots[0]?.from ?? 0;
  expect(base).toBeGreaterThanOrEqual(coveredBy);
  const found: JournalRecord[] = [];
  for await (const record of journalRecordsOf(journal, { after: base })) found.push(record);
  expect(found.length).toBe(status.last - base);
  expect(found).toEqual(sent.slice(base, status.last));
}

describe(`a node that is killed in the middle of taking the journal (DFS_SIMULATION_SEED=${seed})`, () => {
  it('has every record that it acknowledged, none that is half, and goes on', async () => {
    for (let round = 0; round < rounds; round += 1) {
      const { node, client, journal } = await start();
      await expectAll(journal);
      let batches = 0;
      const killAfter = 5 + Math.floor(random() * 40);
      await appendUntilDead(journal, () => {
        batches += 1;
        // In the middle of the next one.
        if (batches === killAfter) setTimeout(() => node.child.kill('SIGKILL'), random() * 8);
      });
      expect(await node.ended).toBe('SIGKILL');
      await client.close();
    }
    const { node, client, journal } = await start();
    await expectAll(journal);
    expect(acknowledged).toBeGreaterThan(20 * rounds);
    await client.close();
    await node.kill();
  }, 120_000);
});

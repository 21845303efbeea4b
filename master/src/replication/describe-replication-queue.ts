import { newNodeId, type ReplicationJob } from '@dfs/shared';
import { makeJob } from '@dfs/shared/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ReplicationQueue } from './replication-queue.ts';

/** A queue under test and the other end of it, as a replicator would hold it. */
export interface ReplicationQueueHarness {
  readonly queue: ReplicationQueue;
  /** Takes up to `count` jobs that are waiting now; they are running then. */
  take(count: number): Promise<readonly ReplicationJob[]>;
  /** Says that a job which was taken ended. */
  finish(job: ReplicationJob): Promise<void>;
  /** The replicator dies with all that it took, and the time that a dead one is waited for passes. */
  vanish(): Promise<void>;
  close(): Promise<void>;
}

/** Proves that a queue keeps the promises of `ReplicationQueue`. */
export function describeReplicationQueue(
  name: string,
  create: () => Promise<ReplicationQueueHarness>,
): void {
  describe(name, () => {
    let harness: ReplicationQueueHarness;
    beforeEach(async () => {
      harness = await create();
    });
    afterEach(() => harness.close());

    it('delivers jobs whole and in the order they came', async () => {
      const jobs = [makeJob(), makeJob({ sources: [] }), makeJob({ sizeBytes: 0 })];
      await harness.queue.enqueue(jobs);
      expect(await harness.take(10)).toEqual(jobs);
      expect(await harness.take(10)).toEqual([]);
    });

    it('delivers no more than asked', async () => {
      const jobs = [makeJob(), makeJob(), makeJob()];
      await harness.queue.enqueue(jobs);
      expect(await harness.take(2)).toEqual(jobs.slice(0, 2));
      expect(await harness.take(2)).toEqual(jobs.slice(2));
    });

    it('takes an empty list and many jobs at once', async () => {
      const jobs = Array.from({ length: 1_200 }, () => makeJob());
      await harness.queue.enqueue([]);
      await harness.queue.enqueue(jobs);
      expect(await harness.queue.outstanding()).toBe(1_200);
    });

    it('keeps one of several jobs for the same blob and target', async () => {
      const job = makeJob();
      await harness.queue.enqueue([job, { ...job, sources: [] }]);
      await harness.queue.enqueue([job]);
      expect(await harness.take(10)).toEqual([job]);
    });

    it('ignores a job that is running', async () => {
      const job = makeJob();
      await harness.queue.enqueue([job]);
      await harness.take(1);
      await harness.queue.enqueue([job]);
      expect(await harness.take(1)).toEqual([]);
      expect(await harness.queue.outstanding()).toBe(1);
    });

    it('takes a job again when the earlier one of its id ended', async () => {
      const job = makeJob();
      for (let round = 0; round < 3; round += 1) {
        await harness.queue.enqueue([job]);
        expect(await harness.take(1)).toEqual([job]);
        await harness.finish(job);
        expect(await harness.queue.outstanding()).toBe(0);
      }
    });

    it('keeps jobs of one blob for different targets apart', async () => {
      const job = makeJob();
      const other = { ...job, target: newNodeId() };
      await harness.queue.enqueue([job, other]);
      expect(await harness.take(10)).toEqual([job, other]);
    });

    it('counts what waits and what runs', async () => {
      const [first, second] = [makeJob(), makeJob()];
      expect(await harness.queue.outstanding()).toBe(0);
      await harness.queue.enqueue([first, second]);
      await harness.take(1);
      expect(await harness.queue.outstanding()).toBe(2);
      await harness.finish(first);
      expect(await harness.queue.outstanding()).toBe(1);
    });

    it('delivers a job again when the replicator that took it vanished', async () => {
      const jobs = [makeJob(), makeJob()];
      await harness.queue.enqueue(jobs);
      await harness.take(2);
      await harness.vanish();
      const again = await harness.take(10);
      expect(again.map((job) => job.blobId).toSorted()).toEqual(
        jobs.map((job) => job.blobId).toSorted(),
      );
    });

    it('refuses jobs once it is closed', async () => {
      await harness.queue.close();
      await expect(harness.queue.enqueue([makeJob()])).rejects.toMatchObject({
        kind: 'unavailable',
      });
    });
  });
}

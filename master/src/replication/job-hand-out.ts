import {
  type Clock,
  jobIdOf,
  type NodeId,
  type ReplicationAttempt,
  type ReplicationJob,
} from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { NodeSnapshot } from '../cluster/node-directory.ts';
import type { BlobCopies, MetadataRepository, Replica } from '../metadata/metadata-repository.ts';
import { ByteBudget } from './byte-budget.ts';
import { isReachable } from './node-silence.ts';
import { OutageLog } from './outage-log.ts';
import { readOrder } from './read-order.ts';
import type { ReplicationQueue } from './replication-queue.ts';

export interface JobHandOutDependencies {
  readonly metadata: Pick<MetadataRepository, 'dueReplications' | 'recordReplications'>;
  readonly queue: ReplicationQueue;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly config: {
    /** What copies that this makes may take per second together; absent: as much as they can. */
    readonly repairBytesPerSecond?: number | undefined;
  };
}

const outstandingMax = 1_000;
/** A job that nothing was heard of for this long may be lost: it is handed out again if it is still due. One that still waits or runs is ignored by the queue. */
const forgottenAfterMs = 60_000;
/** Where the queue holds fewer jobs than were handed out, replicators left some to this loop, mostly for a target that they cannot reach. So long they are left alone. */
const leftAloneMs = 10_000;
/** New rows are hinted when they are written: they get this head start before they count as forgotten. */
const hintedWithinMs = 1_000;
/** When no node that holds a copy can be reached. The return of one brings its blobs back sooner. */
const sourcelessRetryMs = 60_000;

/** Turns rows that are due into jobs, a bounded number at a time. */
export class JobHandOut {
  readonly #deps: JobHandOutDependencies;
  /** By job id, oldest first; times are monotonic. */
  readonly #handedOut = new Map<string, { readonly target: NodeId; readonly atMs: number }>();
  readonly #outage: OutageLog;
  readonly #budget: ByteBudget;
  #isMoreDue = false;
  #isThrottled = false;

  constructor(dependencies: JobHandOutDependencies) {
    this.#deps = dependencies;
    const { clock, config } = dependencies;
    this.#budget = new ByteBudget(clock, config.repairBytesPerSecond);
    this.#outage = new OutageLog(dependencies.logger, 'the repair loop cannot queue jobs');
  }

  /** Jobs for what is due on nodes that are up. Fewer, or none, when enough jobs are outstanding or the queue cannot be reached. */
  async handOutDue(nodes: readonly NodeSnapshot[]): Promise<void> {
    const { metadata, clock } = this.#deps;
    const targets = nodes.filter((node) => node.state === 'up').map((node) => node.id);
    const limit = await this.#room();
    this.#isMoreDue = false;
    if (limit <= 0 || targets.length === 0) return;
    const due = await metadata.dueReplications({
      nowMs: clock.now() - hintedWithinMs,
      targets,
      limit,
      except: new Set(this.#handedOut.keys()),
    });
    this.#isMoreDue = due.length === limit;
    const jobs = due.map(({ target, blob }) => jobOf(target, blob, nodes));
    await this.#handOut(jobs.filter((job) => job.sources.length > 0));
    await this.#deferSourceless(jobs.filter((job) => job.sources.length === 0));
  }

  /** Jobs for copies of these blobs that failed before and wait for their time: a node that holds them may have come. New ones are due anyway, and go by their rank. */
  async handOutAgain(blobs: readonly BlobCopies[], nodes: readonly NodeSnapshot[]): Promise<void> {
    await this.#handOutThose(blobs, nodes, ({ attempts }) => attempts > 0);
  }

  /** Jobs for all copies of these blobs that are still to be made and can be, due or not. */
  async handOutNow(blobs: readonly BlobCopies[], nodes: readonly NodeSnapshot[]): Promise<void> {
    await this.#handOutThose(blobs, nodes, () => true);
  }

  async #handOutThose(
    blobs: readonly BlobCopies[],
    nodes: readonly NodeSnapshot[],
    isMeant: (copy: Replica) => boolean,
  ): Promise<void> {
    const up = new Set(nodes.filter((node) => node.state === 'up').map((node) => node.id));
    const jobs = blobs.flatMap((blob) =>
      blob.replicas
        .filter(isMeant)
        .filter(
          ({ state, nodeId }) => (state === 'wanted' || state === 'corrupt') && up.has(nodeId),
        )
        .map(({ nodeId }) => jobOf(nodeId, blob, nodes))
        .filter((job) => job.sources.length > 0 && !this.#handedOut.has(jobIdOf(job))),
    );
    if (jobs.length === 0) return;
    const room = await this.#room();
    await this.#handOut(jobs.slice(0, Math.max(0, room)));
  }

  /** Something is due that the limit of bytes per second holds back. */
  get isThrottled(): boolean {
    return this.#isThrottled;
  }

  /** Outcomes are in. True when it is time to hand out more. */
  reported(attempts: readonly Pick<ReplicationAttempt, 'blobId' | 'target'>[]): boolean {
    for (const attempt of attempts) this.#handedOut.delete(jobIdOf(attempt));
    return this.#isMoreDue && this.#handedOut.size < outstandingMax / 4;
  }

  /** A node came back: what was handed out for it before may have been given up, so it counts as not handed out. */
  forgetTarget(target: NodeId): void {
    for (const [id, job] of this.#handedOut) if (job.target === target) this.#handedOut.delete(id);
  }

  /** How many jobs may be handed out now; none while the queue cannot be reached. */
  async #room(): Promise<number> {
    const forgottenBeforeMs = this.#deps.clock.monotonic() - forgottenAfterMs;
    for (const [id, { atMs }] of this.#handedOut) {
      if (atMs > forgottenBeforeMs) break;
      this.#handedOut.delete(id);
    }
    try {
      const outstanding = await this.#deps.queue.outstanding();
      this.#outage.worked();
      this.#forgetLeft(outstanding);
      return outstandingMax - Math.max(outstanding, this.#handedOut.size);
    } catch (error) {
      this.#outage.failed(error);
      return 0;
    }
  }

  /** A replicator that cannot reach a target, or has too much waiting for it, says nothing of its jobs: what the queue does not hold any more is forgotten, oldest first. */
  #forgetLeft(outstanding: number): void {
    const beforeMs = this.#deps.clock.monotonic() - leftAloneMs;
    let excess = this.#handedOut.size - outstanding;
    for (const [id, { atMs }] of this.#handedOut) {
      if (excess <= 0 || atMs > beforeMs) return;
      this.#handedOut.delete(id);
      excess -= 1;
    }
  }

  /** In order, as many as the limit of bytes lets through; the rest stays due. */
  async #handOut(all: readonly ReplicationJob[]): Promise<void> {
    const end = all.findIndex((job) => !this.#budget.take(job.sizeBytes));
    this.#isThrottled = end >= 0;
    const jobs = end < 0 ? all : all.slice(0, end);
    if (jobs.length === 0) return;
    try {
      await this.#deps.queue.enqueue(jobs);
    } catch (error) {
      this.#outage.failed(error);
      return;
    }
    const atMs = this.#deps.clock.monotonic();
    for (const job of jobs) this.#handedOut.set(jobIdOf(job), { target: job.target, atMs });
  }

  /** Written down as attempts that failed, so that they neither come back at once nor stand in the way of others. */
  async #deferSourceless(jobs: readonly ReplicationJob[]): Promise<void> {
    if (jobs.length === 0) return;
    const { metadata, clock } = this.#deps;
    const now = clock.now();
    const attempts = jobs.map(({ blobId, target }): ReplicationAttempt => {
      return {
        blobId,
        target,
        outcome: 'failed',
        errorCode: 'unavailable',
        message: 'No node that holds a copy can be reached.',
        startedAtMs: now,
        durationMs: 0,
      };
    });
    await metadata.recordReplications(attempts, () => now + sourcelessRetryMs);
  }
}

function jobOf(target: NodeId, blob: BlobCopies, nodes: readonly NodeSnapshot[]): ReplicationJob {
  const reachable = new Map(nodes.filter(isReachable).map((node) => [node.id, node]));
  const { blobId, sizeBytes, md5, path } = blob;
  const others = blob.replicas.filter((replica) => replica.nodeId !== target);
  const sources = readOrder(others, reachable);
  // The last copy was found bad once. Its node looks at it anew before it would fetch anything: a cable or a chip may have been at fault.
  const isLastHope = sources.length === 0 && stateOn(target, blob) === 'corrupt';
  return { blobId, target, sizeBytes, md5, path, sources: isLastHope ? [target] : sources };
}

const stateOn = (node: NodeId, blob: BlobCopies) =>
  blob.replicas.find(({ nodeId }) => nodeId === node)?.state;

import { jobIdOf, type ReplicationJob, replicationQueueName, StoreError } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { OutageLog } from './outage-log.ts';
import type { ReplicationQueue } from './replication-queue.ts';

export interface BullmqQueueOptions {
  readonly redisUrl: string;
  readonly logger: Logger;
  /** Of all keys in Redis; the replicator needs the same. */
  readonly prefix?: string;
}

const attemptsInQueue = 3;
const jobsPerCallMax = 500;
const reconnectMaxMs = 2_000;
/** A Redis that takes longer is treated as one that is down. */
const commandTimeoutMs = 5_000;

/**
 * The queue on Redis. Redis may be down at the start and at any later time: `enqueue` rejects at once then, and works again once the connection is back.
 * A job that ended is removed, since a kept one would silence the next of its id.
 */
export class BullmqReplicationQueue implements ReplicationQueue {
  readonly #redis: Redis;
  readonly #logger: Logger;
  readonly #outage: OutageLog;
  readonly #prefix: string;
  /** Made at the first connection: BullMQ asks Redis questions while it makes a queue. */
  #queue: Queue<ReplicationJob> | undefined;
  #policyWarned: string | undefined;

  constructor(options: BullmqQueueOptions) {
    this.#logger = options.logger;
    this.#prefix = options.prefix ?? 'bull';
    this.#outage = new OutageLog(options.logger, 'Redis cannot be reached');
    this.#redis = new Redis(options.redisUrl, {
      enableOfflineQueue: false,
      maxRetriesPerRequest: 1,
      commandTimeout: commandTimeoutMs,
      connectTimeout: commandTimeoutMs,
      retryStrategy: (times) => Math.min(reconnectMaxMs, 50 * 2 ** Math.min(times, 10)),
    });
    this.#redis.on('error', (error) => this.#outage.failed(error));
    this.#redis.on('ready', () => this.#connected());
  }

  async enqueue(jobs: readonly ReplicationJob[]): Promise<void> {
    const entries = jobs.map((job) => ({
      name: 'copy-blob',
      data: job,
      opts: {
        jobId: jobIdOf(job),
        attempts: attemptsInQueue,
        backoff: { type: 'by-error-code' },
        removeOnComplete: true,
        removeOnFail: true,
        stackTraceLimit: 1,
      },
    }));
    for (let at = 0; at < entries.length; at += jobsPerCallMax) {
      const part = entries.slice(at, at + jobsPerCallMax);
      await this.#during((queue) => queue.addBulk(part));
    }
  }

  async outstanding(): Promise<number> {
    const counts = await this.#during((queue) => {
      return queue.getJobCounts('wait', 'active', 'delayed', 'prioritized');
    });
    return Object.values(counts).reduce((sum, count) => sum + count, 0);
  }

  async close(): Promise<void> {
    await this.#queue?.close();
    this.#redis.disconnect();
  }

  #connected(): void {
    this.#outage.worked();
    if (!this.#queue) {
      this.#queue = new Queue<ReplicationJob>(replicationQueueName, {
        connection: this.#redis,
        prefix: this.#prefix,
        // The version and the eviction policy are looked at below, in our own words.
        skipVersionCheck: true,
        streams: { events: { maxLen: 1_000 } },
      });
      this.#queue.on('error', (error) => this.#outage.failed(error));
    }
    this.#checkPolicy().catch((error) => this.#outage.failed(error));
  }

  /** Under memory pressure another policy throws away parts of jobs, and the queue breaks. */
  async #checkPolicy(): Promise<void> {
    const policy = /maxmemory_policy:(\S+)/.exec(await this.#redis.info('memory'))?.[1];
    if (policy === undefined || policy === 'noeviction' || policy === this.#policyWarned) return;
    this.#policyWarned = policy;
    this.#logger.warn(
      `Redis may evict keys (maxmemory-policy ${policy}), which breaks the replication queue: set maxmemory-policy to noeviction.`,
    );
  }

  async #during<T>(work: (queue: Queue<ReplicationJob>) => Promise<T>): Promise<T> {
    if (!this.#queue || this.#redis.status !== 'ready') {
      throw new StoreError('unavailable', 'Redis is not connected.');
    }
    try {
      return await work(this.#queue);
    } catch (cause) {
      throw new StoreError('unavailable', `Redis did not take the request: ${String(cause)}`, {
        cause,
      });
    }
  }
}

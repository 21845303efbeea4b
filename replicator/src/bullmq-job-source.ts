import { setTimeout as sleep } from 'node:timers/promises';
import { decideRetry, type ReplicationJob, replicationQueueName } from '@dfs/shared';
import { type Logger, networkCodeOf } from '@dfs/shared/cluster';
import { type Job, UnrecoverableError, WaitingError, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import type { JobHandler, JobSource } from './job-source.ts';

export interface BullmqJobSourceOptions {
  readonly redisUrl: string;
  readonly logger: Logger;
  readonly random: () => number;
  /** Of all keys in Redis; the master has the same. */
  readonly prefix?: string;
  /** Jobs held at a time, running or waiting for their turn. */
  readonly jobsMax?: number;
  /** A job whose worker does not renew its lock for this long is taken for stalled, ms. */
  readonly lockMs?: number;
  readonly stalledEveryMs?: number;
  /** How long running jobs may take to end at a close, ms. */
  readonly closeWithinMs?: number;
}

/** A job that made this many workers stall is not tried again from the queue. */
const stalledMax = 3;
const reconnectMaxMs = 2_000;
const forcedCloseMs = 2_000;

/** Jobs from BullMQ on Redis. Redis may be down at the start and at any later time. */
export class BullmqJobSource implements JobSource {
  readonly #options: BullmqJobSourceOptions;
  readonly #redis: Redis;
  #worker: Worker<ReplicationJob> | undefined;
  #closed: (() => void) | undefined;
  readonly #running = new Set<Promise<void>>();
  #isFailing = false;
  #policyWarned: string | undefined;

  constructor(options: BullmqJobSourceOptions) {
    this.#options = options;
    this.#redis = new Redis(options.redisUrl, {
      // As BullMQ demands of a worker's connection: what it asks waits for Redis to come back.
      maxRetriesPerRequest: null,
      retryStrategy: (times) => Math.min(reconnectMaxMs, 50 * 2 ** Math.min(times, 10)),
    });
    this.#redis.on('error', (error) => this.#failed(error));
    this.#redis.on('ready', () => {
      this.#worked();
      this.#checkPolicy().catch((error) => this.#failed(error));
    });
  }

  run(handler: JobHandler): Promise<void> {
    const { prefix, jobsMax, lockMs, stalledEveryMs, random } = this.#options;
    const worker = new Worker<ReplicationJob>(
      replicationQueueName,
      // BullMQ hands a signal only to processors that name it.
      (job, token, signal) => {
        const work = this.#process(job, handler, { token, signal });
        this.#running.add(work);
        const end = () => this.#running.delete(work);
        work.then(end, end);
        return work;
      },
      {
        connection: this.#redis,
        prefix: prefix ?? 'bull',
        concurrency: jobsMax ?? 128,
        lockDuration: lockMs ?? 15_000,
        stalledInterval: stalledEveryMs ?? 5_000,
        maxStalledCount: stalledMax,
        // It writes plain lines to the console; the eviction policy is looked at below.
        skipVersionCheck: true,
        settings: {
          backoffStrategy: (attemptsMade: number, _type?: string, error?: Error) => {
            const failure = { code: networkCodeOf(error), attempt: attemptsMade };
            return decideRetry(failure, random()).delayMs;
          },
        },
      },
    );
    this.#worker = worker;
    worker.on('error', (error) => this.#failed(error));
    worker.on('completed', () => this.#worked());
    // Somebody else may have the job by now.
    worker.on('lockRenewalFailed', (ids) => {
      for (const id of ids) worker.cancelJob(id, 'The lock of the job was lost.');
    });
    return new Promise((resolve) => {
      this.#closed = resolve;
    });
  }

  async close(): Promise<void> {
    const { closeWithinMs = 5_000, logger } = this.#options;
    const closing = this.#worker?.close().catch((error) => {
      logger.debug('the worker closed with a failure', { error });
    });
    await within(closeWithinMs, Promise.allSettled(this.#running));
    this.#worker?.cancelAllJobs('This replicator stops.');
    await Promise.allSettled(this.#running);
    // While Redis is down, the worker waits for it; nothing is lost by leaving.
    await within(forcedCloseMs, closing);
    this.#redis.disconnect();
    this.#closed?.();
  }

  async #process(
    job: Job<ReplicationJob>,
    handler: JobHandler,
    { token, signal }: { token: string | undefined; signal: AbortSignal | undefined },
  ): Promise<void> {
    try {
      await handler(job.data, signal ?? new AbortController().signal);
    } catch (error) {
      if (signal?.aborted) {
        // Broken off, not failed: somebody else gets it at once.
        await job.moveToWait(token);
        throw new WaitingError();
      }
      const failure = { code: networkCodeOf(error), attempt: job.attemptsMade + 1 };
      if (decideRetry(failure, 0).action === 'never') throw new UnrecoverableError(String(error));
      throw error;
    }
  }

  /** Under memory pressure another policy throws away parts of jobs, and the queue breaks. */
  async #checkPolicy(): Promise<void> {
    const policy = /maxmemory_policy:(\S+)/.exec(await this.#redis.info('memory'))?.[1];
    if (policy === undefined || policy === 'noeviction' || policy === this.#policyWarned) return;
    this.#policyWarned = policy;
    this.#options.logger.warn(
      `Redis may evict keys (maxmemory-policy ${policy}), which breaks the replication queue: set maxmemory-policy to noeviction.`,
    );
  }

  #failed(error: unknown): void {
    if (!this.#isFailing) this.#options.logger.warn('Redis gives no jobs', { error });
    this.#isFailing = true;
  }

  #worked(): void {
    if (this.#isFailing) this.#options.logger.info('Redis works again');
    this.#isFailing = false;
  }
}

/** Resolves when the work ended, however, or after `ms`. */
async function within(ms: number, work: Promise<unknown> | undefined): Promise<void> {
  const patience = new AbortController();
  await Promise.race([work, sleep(ms, undefined, patience).catch(() => undefined)]);
  patience.abort();
}

import type { Clock } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { NodeDirectory } from '../cluster/node-directory.ts';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import { BackgroundLoop } from '../replication/background-loop.ts';
import type { GracePeriod } from '../replication/grace-period.ts';
import { bytesShortOfRoom, roomIsShort, shortGraceMs } from '../replication/room.ts';
import { restAfter } from './rest.ts';

export interface TrashCollectorDependencies {
  readonly metadata: Pick<MetadataRepository, 'collectTrash' | 'expireOldestTrash'>;
  readonly nodes: Pick<NodeDirectory, 'snapshots' | 'recovery' | 'isConfirmed'>;
  readonly grace: Pick<GracePeriod, 'endedBeforeMs'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly config: {
    /** How many nodes a blob belongs on. */
    readonly copies: number;
    /** How long content without a name stays on the nodes, ms. */
    readonly gcGraceMs: number;
  };
}

const everyMs = 5_000;
/** Names of one transaction: whoever stores a file meanwhile waits for it, which a thousand would make ten times as long. */
const namesPerCollection = 200;
/** What was given up takes the grace time, the short one while room is short, and at most about so long to become room on the disks, ms. */
const freeingMs = 60_000;
/** Room that is missing by less is made by this much, so that it is not made again and again. */
const leastBytes = 64 * 2 ** 20;

/**
 * Takes apart what has expired in the trash, a bounded part of it in each transaction. When nodes run short of room the oldest items expire early: as many as their
 * content frees what is missing, and no more until that had about a minute to become room.
 */
export class TrashCollector {
  readonly #deps: TrashCollectorDependencies;
  readonly #loop: BackgroundLoop;
  /** What expired early and is still on its way off the disks: bytes of contents, and until when, by the monotonic clock. */
  #freeing: readonly { readonly bytes: number; readonly untilMs: number }[] = [];

  constructor(dependencies: TrashCollectorDependencies) {
    this.#deps = dependencies;
    const step = (signal: AbortSignal) => this.step(signal);
    const { logger } = dependencies;
    this.#loop = new BackgroundLoop({ name: 'collection of the trash', everyMs, step, logger });
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** Something expired just now. */
  wake(): void {
    this.#loop.wake();
  }

  async step(signal?: AbortSignal): Promise<undefined> {
    const { metadata, nodes, clock, grace } = this.#deps;
    // A clock that is ahead would have everything expire: it has a while to be set right again.
    if (grace.endedBeforeMs() <= 0) return;
    // A database that may be an old one: what it holds to be expired may have been brought back since.
    if (nodes.recovery() !== undefined || !nodes.isConfirmed()) return;
    await this.#makeRoom();
    // It is asked before each transaction: the clock may be set while a long run goes on.
    for (let isDone = false; !isDone && !signal?.aborted && grace.endedBeforeMs() > 0; ) {
      const startedAtMs = clock.monotonic();
      const collected = await metadata.collectTrash({
        nowMs: clock.now(),
        limit: namesPerCollection,
      });
      isDone = collected.isDone;
      if (!isDone) await restAfter(clock, startedAtMs, signal);
    }
  }

  async #makeRoom(): Promise<void> {
    const { metadata, nodes, clock, config, logger } = this.#deps;
    const now = clock.monotonic();
    this.#freeing = this.#freeing.filter(({ untilMs }) => untilMs > now);
    const snapshots = nodes.snapshots();
    if (!roomIsShort(snapshots, config.copies)) return;
    const onItsWay = this.#freeing.reduce((sum, { bytes }) => sum + bytes, 0);
    const missing = bytesShortOfRoom(snapshots) / config.copies - onItsWay;
    if (missing <= 0) return;
    const { items, bytes } = await metadata.expireOldestTrash(
      Math.max(leastBytes, Math.ceil(missing)),
    );
    if (items === 0) return;
    logger.info('room runs short: the oldest items of the trash go early', { items, bytes });
    const untilMs = now + Math.min(config.gcGraceMs, shortGraceMs) + freeingMs;
    this.#freeing = [...this.#freeing, { bytes, untilMs }];
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import {
  backoffMs,
  type Clock,
  type Heartbeat,
  type HeartbeatAnswer,
  StoreError,
  type StoreErrorKind,
} from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { DropClock } from './drop-clock.ts';
import type { MasterClient } from './master-client.ts';
import type { NodeIdentity } from './node-identity.ts';
import type { Pulse } from './pulse.ts';
import type { VitalSigns } from './vital-signs.ts';

const everyMinMs = 50;
const everyMaxMs = 60_000;
/** These will not change by waiting: at the first registration they end the program. */
const finalKinds: ReadonlySet<StoreErrorKind> = new Set([
  'wrong-cluster',
  'unauthorized',
  'forbidden',
]);

export interface HeartbeatLoopDependencies {
  readonly master: MasterClient;
  readonly identity: NodeIdentity;
  readonly vitals: VitalSigns;
  readonly dropClock: DropClock;
  /** Sends when this loop is late. */
  readonly pulse: Pick<Pulse, 'beat' | 'pause'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly everyMs: number;
  readonly random: () => number;
  /** What the node says of itself at this moment. */
  readonly describe: () => Heartbeat;
}

/**
 * Tells the master at a steady pace that this node lives, and learns cluster, epoch, journal and
 * the master's time from its answers. A master that does not answer is asked again; a refusal is
 * told in one line.
 */
export class HeartbeatLoop {
  readonly #deps: HeartbeatLoopDependencies;
  readonly #stopping = new AbortController();
  #everyMs: number;
  #running: Promise<void> | undefined;
  #isRegistered = false;
  #failures = 0;
  /** The trouble that was told last: each gets one line, however long it lasts. */
  #told: string | undefined;

  constructor(dependencies: HeartbeatLoopDependencies) {
    this.#deps = dependencies;
    this.#everyMs = dependencies.everyMs;
  }

  /**
   * Starts the loop. Resolves with the first accepted heartbeat, or when `stop` was called; rejects
   * with a refusal that waiting cannot change.
   */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#running = this.#run(resolve).then(resolve, reject);
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(onRegistered: () => void): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const startedAtMs = this.#deps.clock.monotonic();
      try {
        await this.#beat(signal);
        this.#accepted();
        onRegistered();
      } catch (error) {
        if (signal.aborted) return;
        this.#failed(error);
      }
      const passedMs = this.#deps.clock.monotonic() - startedAtMs;
      const waitMs = Math.max(this.#failures > 0 ? everyMinMs : 0, this.#pauseMs() - passedMs);
      await delay(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #beat(signal: AbortSignal): Promise<void> {
    const { master, identity, vitals, dropClock, pulse, describe } = this.#deps;
    await vitals.probeDisk(this.#everyMs / 2);
    const asked = dropClock.moment();
    const heartbeat = describe();
    const answer = checked(
      await master.post<HeartbeatAnswer>('/cluster/heartbeat', heartbeat, signal),
    );
    await identity.join(answer.clusterId);
    // A disk that hangs or is full must not silence the node; what could not be remembered is heard
    // again. Only the first time it is waited for.
    const heard = identity.hear(answer).catch(() => undefined);
    if (!this.#isRegistered) await heard;
    dropClock.heard(answer.masterTimeMs, asked);
    this.#everyMs = Math.min(everyMaxMs, Math.max(everyMinMs, answer.heartbeatEveryMs));
    pulse.beat(withoutReads(heartbeat), this.#everyMs);
  }

  #accepted(): void {
    if (!this.#isRegistered) this.#deps.logger.info('registered with the master');
    else if (this.#told !== undefined) this.#deps.logger.info('the master accepts this node again');
    this.#isRegistered = true;
    this.#failures = 0;
    this.#told = undefined;
  }

  #failed(error: unknown): void {
    const kind = error instanceof StoreError ? error.kind : 'internal';
    if (!this.#isRegistered && finalKinds.has(kind)) throw error;
    this.#failures += 1;
    // No answer may be this loop's own fault: it came too late to hear it.
    if (kind !== 'unavailable') this.#deps.pulse.pause(this.#everyMs);
    if (this.#told === kind) return;
    this.#told = kind;
    if (!(error instanceof StoreError)) {
      this.#deps.logger.error('a heartbeat failed', { error });
      return;
    }
    const message =
      kind === 'unavailable'
        ? 'no answer from the master, trying again'
        : 'the master refuses this node';
    const hint = error.hint === undefined ? {} : { hint: error.hint };
    this.#deps.logger.warn(message, { kind, reason: error.message, ...hint });
  }

  /**
   * From the start of one heartbeat to that of the next. Failures come back soon at first, so that
   * a master that starts late is found at once.
   */
  #pauseMs(): number {
    if (this.#failures === 0) return this.#everyMs;
    return Math.min(this.#everyMs, backoffMs(this.#failures, this.#deps.random()));
  }
}

/** As it may be sent again: what was read counts once. */
function withoutReads(heartbeat: Heartbeat): Heartbeat {
  const { caches } = heartbeat;
  return caches ? { ...heartbeat, caches: { ...caches, reads: [] } } : heartbeat;
}

function checked(answer: HeartbeatAnswer | undefined): HeartbeatAnswer {
  const isWellFormed =
    typeof answer?.clusterId === 'string' &&
    [answer.epoch, answer.journal, answer.masterTimeMs, answer.heartbeatEveryMs].every(
      Number.isFinite,
    );
  if (answer && isWellFormed) return answer;
  throw new StoreError('unavailable', 'What answers at DFS_MASTER_URL is no master.', {
    hint: "Give the address of the master's management port, 7041 by default.",
  });
}

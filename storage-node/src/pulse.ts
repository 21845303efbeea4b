import { Worker } from 'node:worker_threads';
import { type Heartbeat, trustedCertificates } from '@dfs/shared';
import type { ClusterKeyring } from '@dfs/shared/cluster';
import { messageHeaders } from './master-client.ts';

export interface PulseOptions {
  /** The master's management port. */
  readonly masterUrl: string;
  readonly keyring: ClusterKeyring;
  /** PEM; absent: what Node.js trusts anyway. */
  readonly ca: string | undefined;
}

/** What the thread is told when it starts. */
export interface PulseStart {
  readonly url: string;
  /** PEM of all that may vouch for the master, where that is not what Node.js trusts anyway. */
  readonly ca: readonly string[] | undefined;
  /** One BigInt64: the time of the main loop's last tick, in ns of the system's monotonic clock. */
  readonly tickedAt: SharedArrayBuffer;
}

/** What it is told after each heartbeat of the main loop. Without `heartbeat`: the master refuses this node, so nothing is sent. */
export interface PulseMessage {
  readonly heartbeat?: Heartbeat;
  readonly headers: Readonly<Record<string, string>>;
  readonly everyMs: number;
}

/** From the build also where the sources run: a thread has no one who would compile for it. */
const program = new URL('../dist/pulse-thread.js', import.meta.url);

/**
 * A thread that sends the last heartbeat again when the main loop is late with the next one, with the true age of the loop's last tick in it. So the master can
 * tell a node that is busy from one that is gone, and one that hangs from both.
 */
export class Pulse {
  readonly #tickedAt = new BigInt64Array(new SharedArrayBuffer(8));
  readonly #worker: Worker;

  readonly #keyring: ClusterKeyring;

  constructor({ masterUrl, keyring, ca }: PulseOptions) {
    this.#keyring = keyring;
    this.tick();
    const start: PulseStart = {
      url: `${masterUrl}/cluster/heartbeat`,
      ca: ca === undefined ? undefined : trustedCertificates(ca),
      tickedAt: this.#tickedAt.buffer as SharedArrayBuffer,
    };
    this.#worker = new Worker(program, {
      workerData: start,
      // It holds one heartbeat.
      resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 2 },
    });
    this.#worker.unref();
    // Without it the main loop's own heartbeats remain.
    this.#worker.on('error', () => undefined);
  }

  /** The main loop turned. */
  tick(): void {
    Atomics.store(this.#tickedAt, 0, process.hrtime.bigint());
  }

  /** The main loop sent this heartbeat itself. */
  beat(heartbeat: Heartbeat, everyMs: number): void {
    this.#tell({ heartbeat, everyMs });
  }

  /** Nothing is to be sent until the next `beat`. */
  pause(everyMs: number): void {
    this.#tell({ everyMs });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #tell(message: Omit<PulseMessage, 'headers'>): void {
    this.#worker.postMessage({ ...message, headers: messageHeaders(this.#keyring) });
  }
}

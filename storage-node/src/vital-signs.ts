import { constants } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '@dfs/shared';
import { closeFile, isDiskFull, openFile, syncFile, writeFully } from './raw-file.ts';

const tickEveryMs = 250;
/**
 * A heartbeat waits this long for a probe of the disk; a disk that takes longer shows in its age.
 */
const probePatienceMs = 1_000;

export interface VitalSignsOptions {
  readonly clock: Clock;
  readonly probePath: string;
  /** The main loop turned. */
  readonly onTick: () => void;
}

/**
 * Signs of life that a heartbeat carries: how long ago the main loop turned, and how long ago a
 * write became durable.
 */
export class VitalSigns {
  readonly #clock: Clock;
  readonly #probePath: string;
  readonly #timer: NodeJS.Timeout;
  #tickedAtMs: number;
  #wroteAtMs: number;
  #probing: Promise<void> | undefined;

  /** `probePath`: a file to write to while there is nothing else to write. */
  constructor({ clock, probePath, onTick }: VitalSignsOptions) {
    this.#clock = clock;
    this.#probePath = probePath;
    this.#tickedAtMs = clock.monotonic();
    this.#wroteAtMs = clock.monotonic();
    this.#timer = setInterval(() => {
      this.#tickedAtMs = clock.monotonic();
      onTick();
    }, tickEveryMs);
    this.#timer.unref();
  }

  get loopAgeMs(): number {
    return Math.round(this.#clock.monotonic() - this.#tickedAtMs);
  }

  get diskWriteAgeMs(): number {
    return Math.round(this.#clock.monotonic() - this.#wroteAtMs);
  }

  /** A write became durable just now. */
  wrote(): void {
    this.#wroteAtMs = this.#clock.monotonic();
  }

  /**
   * Writes something when the last write is older than `ageMs`. Never rejects, and never waits for
   * long: the age tells how it went.
   */
  async probeDisk(ageMs: number): Promise<void> {
    if (this.diskWriteAgeMs < ageMs) return;
    this.#probing ??= this.#probe().finally(() => {
      this.#probing = undefined;
    });
    const probed = new AbortController();
    const patience = delay(probePatienceMs, undefined, { signal: probed.signal, ref: false });
    await Promise.race([this.#probing, patience.catch(() => undefined)]);
    probed.abort();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #probe(): Promise<void> {
    try {
      // Written over in its place: that needs no room.
      const fd = await openFile(this.#probePath, constants.O_WRONLY | constants.O_CREAT, 0o600);
      try {
        await writeFully(fd, [Buffer.from('probe\n')], 0);
        await syncFile(fd);
      } finally {
        await closeFile(fd);
      }
      this.wrote();
    } catch (error) {
      // A full disk is alive. Any other failure shows in the age.
      if (isDiskFull(error)) this.wrote();
    }
  }
}

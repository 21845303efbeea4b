import { statfs } from 'node:fs/promises';
import { StoreError } from '@dfs/shared';

/** Free space is asked for this often; in between, own writes are counted. */
const sampleEveryMs = 1_000;
const yieldAttemptsMax = 3;
/** What may yield keeps so much free for writes, so that few of them wait for it; 1 % of the disk at most. */
const spareMaxBytes = 2 ** 30;

export interface DiskSpace {
  readonly capacityBytes: number;
  /** What this user may still write, the reserve included. */
  readonly freeBytes: number;
}

export type MeasureDisk = (path: string) => Promise<DiskSpace>;

export interface SpaceOptions {
  readonly path: string;
  /** Bytes to keep back; by default 1 % of the disk, 1 GiB at most. */
  readonly reserveBytes?: number | undefined;
  /** How the file system is asked; by default `statfs`. */
  readonly measure?: MeasureDisk;
}

/** What lies on the disk and gives way when a write needs its room. */
export interface Yielding {
  /** What `yield` could free at most. */
  readonly yieldableBytes: number;
  /** Resolves when so many bytes are free again, or all that can be. Never rejects. */
  yield(bytes: number): Promise<void>;
}

/** Room that a write took before it began. */
export interface RoomClaim {
  /** More is coming than was claimed. Rejects with `no-room`. */
  grow(bytes: number): Promise<void>;
  /** So many of the claimed bytes lie on the disk now. */
  wrote(bytes: number): void;
  release(): void;
}

/**
 * The room on the disk: what is free, less the reserve, less what writes in progress have claimed
 * and not written yet.
 */
export class Space {
  readonly reserveBytes: number;
  readonly #path: string;
  readonly #measure: MeasureDisk;
  #sample: DiskSpace;
  /** Written since that sample was begun: it may or may not be in it, so it counts as not. */
  #writtenBytes = 0;
  #claimedBytes = 0;
  #sampling: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #yielding: Yielding | undefined;

  private constructor(options: SpaceOptions, sample: DiskSpace) {
    this.#path = options.path;
    this.#measure = options.measure ?? askFileSystem;
    this.#sample = sample;
    this.reserveBytes =
      options.reserveBytes ?? Math.min(2 ** 30, Math.floor(sample.capacityBytes / 100));
  }

  static async open(options: SpaceOptions): Promise<Space> {
    const space = new Space(options, await (options.measure ?? askFileSystem)(options.path));
    space.#timer = setInterval(() => {
      // A disk that does not answer shows in the age of its last write.
      space.#takeSample().catch(() => undefined);
    }, sampleEveryMs);
    space.#timer.unref();
    return space;
  }

  get capacityBytes(): number {
    return this.#sample.capacityBytes;
  }

  /** What yields counts as free. */
  get freeBytes(): number {
    return this.#emptyBytes + (this.#yielding?.yieldableBytes ?? 0);
  }

  /** From now on this gives way to writes that find no room. */
  letYield(yielding: Yielding): void {
    this.#yielding = yielding;
  }

  /**
   * Takes room for a write of that many bytes; `isReserveOpen`: of what is kept back, too. Rejects
   * with `no-room`, judged by a fresh look at the disk.
   */
  async claim(
    bytes: number,
    { isReserveOpen = false }: { readonly isReserveOpen?: boolean } = {},
  ): Promise<RoomClaim> {
    const openBytes = isReserveOpen ? this.reserveBytes : 0;
    await this.#take(bytes, openBytes);
    return this.#claimOf(bytes, openBytes);
  }

  /**
   * Takes room that writes of blobs will not miss soon; undefined when there is none, judged by a
   * fresh look at the disk.
   */
  async claimSpare(bytes: number): Promise<RoomClaim | undefined> {
    const neededBytes = bytes + Math.min(spareMaxBytes, Math.floor(this.capacityBytes / 100));
    if (neededBytes > this.#roomBytes) await this.#takeSample();
    if (neededBytes > this.#roomBytes) return undefined;
    this.#claimedBytes += bytes;
    return this.#claimOf(bytes, 0);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #claimOf(bytes: number, openBytes: number): RoomClaim {
    let heldBytes = bytes;
    return {
      grow: async (more) => {
        await this.#take(more, openBytes);
        heldBytes += more;
      },
      wrote: (written) => {
        const paidBytes = Math.min(written, heldBytes);
        heldBytes -= paidBytes;
        this.#claimedBytes -= paidBytes;
        this.#writtenBytes += written;
      },
      release: () => {
        this.#claimedBytes -= heldBytes;
        heldBytes = 0;
      },
    };
  }

  async #take(bytes: number, openBytes: number): Promise<void> {
    if (bytes > this.#roomBytes + openBytes) await this.#takeSample();
    await this.#makeRoom(bytes - openBytes);
    if (bytes > this.#roomBytes + openBytes) {
      throw new StoreError(
        'no-room',
        `This node has no room for ${bytes} bytes: ${this.freeBytes} are free, of which ${this.reserveBytes} are kept back and ${this.#claimedBytes} taken by writes in progress.`,
        { hint: 'Another node takes it. Add a node or a larger disk, or delete files.' },
      );
    }
    this.#claimedBytes += bytes;
  }

  /** Others may take what yields to this write: then more has to. */
  async #makeRoom(bytes: number): Promise<void> {
    const yielding = this.#yielding;
    for (let attempt = 1; yielding && attempt <= yieldAttemptsMax; attempt += 1) {
      const missingBytes = bytes - this.#roomBytes;
      if (missingBytes <= 0 || missingBytes > yielding.yieldableBytes) return;
      await yielding.yield(missingBytes);
      // One that was begun before shows nothing of it.
      await this.#sampling?.catch(() => undefined);
      await this.#takeSample();
    }
  }

  get #roomBytes(): number {
    return this.#emptyBytes - this.reserveBytes - this.#claimedBytes;
  }

  get #emptyBytes(): number {
    return Math.max(0, this.#sample.freeBytes - this.#writtenBytes);
  }

  #takeSample(): Promise<void> {
    this.#sampling ??= this.#sampleNow().finally(() => {
      this.#sampling = undefined;
    });
    return this.#sampling;
  }

  async #sampleNow(): Promise<void> {
    const writtenBefore = this.#writtenBytes;
    this.#sample = await this.#measure(this.#path);
    this.#writtenBytes -= writtenBefore;
  }
}

async function askFileSystem(path: string): Promise<DiskSpace> {
  const { bsize, blocks, bavail } = await statfs(path);
  return { capacityBytes: bsize * blocks, freeBytes: bsize * bavail };
}

import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type BlobId, type Clock, StoreError, systemClock } from '@dfs/shared';
import { temporaryDirectory } from '@dfs/shared/testing';
import { BlobTally } from '../blob-tally.ts';
import { BlockBuffers } from '../block-buffers.ts';
import { formatDataDirectory } from '../data-directory.ts';
import { type Damage, DiskBlobStore, type FetchBlob } from '../disk-blob-store.ts';
import { DropClock } from '../drop-clock.ts';
import { Space } from '../space.ts';

export interface TestDiskOptions {
  /** A directory that is there already; absent: a temporary one. */
  readonly path?: string;
  readonly clock?: Clock;
  readonly reserveBytes?: number;
  readonly fetchBlob?: FetchBlob;
  readonly blocksMax?: number;
}

/** A disk blob store in a temporary directory, with the things that it is made of at hand. */
export async function openTestDisk(options: TestDiskOptions = {}) {
  const temporary = options.path === undefined ? await temporaryDirectory() : undefined;
  const path = options.path ?? temporary?.path ?? '';
  const clock = options.clock ?? systemClock;
  const directory = await formatDataDirectory(path, {
    isFormatted: options.path !== undefined,
  });
  const space = await Space.open({ path, reserveBytes: options.reserveBytes });
  const tally = new BlobTally(directory);
  const dropClock = new DropClock(clock);
  dropClock.heard(clock.now(), dropClock.moment());
  const damages: Damage[] = [];
  const mended: BlobId[] = [];
  const store = new DiskBlobStore({
    directory,
    space,
    tally,
    dropClock,
    clock,
    buffers: new BlockBuffers({ blocksMax: options.blocksMax ?? 16 }),
    fetchBlob:
      options.fetchBlob ??
      (() => Promise.reject(new StoreError('unavailable', 'This disk knows no other node.'))),
    onDamage: (damage) => damages.push(damage),
    onMended: (id) => mended.push(id),
    onWrite: () => undefined,
  });
  return {
    store,
    directory,
    space,
    tally,
    dropClock,
    damages,
    mended,
    path,
    staged: () => readdir(join(path, 'staging')),
    pathOf: (id: BlobId) => directory.blobPath(id),
    close: async () => {
      store.close();
      space.close();
      await directory.close();
      await temporary?.remove();
    },
  };
}

export type TestDisk = Awaited<ReturnType<typeof openTestDisk>>;

/**
 * Flips a bit of one byte of a file, as a failing disk does. A negative offset counts from the end.
 */
export async function flipByte(path: string, offset: number): Promise<void> {
  const { size } = await stat(path);
  const at = offset < 0 ? size + offset : offset;
  const file = await open(path, 'r+');
  try {
    const byte = Buffer.alloc(1);
    const { bytesRead } = await file.read(byte, 0, 1, at);
    if (bytesRead === 0) throw new Error(`${path} has no byte ${at}.`);
    byte[0] = (byte[0] ?? 0) ^ 1;
    await file.write(byte, 0, 1, at);
  } finally {
    await file.close();
  }
}

import { StoreError } from '@dfs/shared';
import { afterEach, describe, expect, it } from 'vitest';
import { type DiskSpace, Space } from './space.ts';

const mib = 2 ** 20;
const gib = 2 ** 30;
let disk: DiskSpace & { freeBytes: number };
let space: Space | undefined;

async function open(sizes: { capacityBytes: number; freeBytes: number }, reserveBytes?: number) {
  disk = { ...sizes };
  space = await Space.open({ path: '/', reserveBytes, measure: async () => ({ ...disk }) });
  return space;
}

afterEach(() => space?.close());

const kindOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'allowed',
    (error: unknown) => (error instanceof StoreError ? error.kind : 'another error'),
  );

describe('the room on a disk', () => {
  it.each([
    ['1 % of a small disk', 10 * gib, Math.floor(0.1 * gib)],
    ['1 GiB of a large disk', 10_000 * gib, gib],
  ])('keeps back %s by default', async (_, capacityBytes, reserveBytes) => {
    const room = await open({ capacityBytes, freeBytes: capacityBytes });
    expect(room.reserveBytes).toBe(reserveBytes);
    expect(await kindOf(room.claim(capacityBytes - reserveBytes))).toBe('allowed');
    expect(await kindOf(room.claim(1))).toBe('no-room');
  });

  it('is taken by a claim before a byte is written, and given back by its release', async () => {
    const room = await open({ capacityBytes: gib, freeBytes: 100 * mib }, 0);
    const first = await room.claim(60 * mib);
    expect(await kindOf(room.claim(60 * mib))).toBe('no-room');
    first.release();
    first.release();
    expect(await kindOf(room.claim(100 * mib))).toBe('allowed');
    expect(await kindOf(room.claim(1))).toBe('no-room');
  });

  it('is not counted twice when claimed bytes are written', async () => {
    const room = await open({ capacityBytes: gib, freeBytes: 100 * mib }, 0);
    const first = await room.claim(60 * mib);
    first.wrote(60 * mib);
    disk.freeBytes = 40 * mib;
    expect(await kindOf(room.claim(40 * mib))).toBe('allowed');
    expect(await kindOf(room.claim(1))).toBe('no-room');
  });

  it('counts own writes before the file system shows them', async () => {
    const room = await open({ capacityBytes: gib, freeBytes: 100 * mib }, 0);
    const claim = await room.claim(60 * mib);
    claim.wrote(60 * mib);
    claim.release();
    expect(room.freeBytes).toBe(40 * mib);
  });

  it('is looked at anew before anything is refused', async () => {
    const room = await open({ capacityBytes: gib, freeBytes: 10 * mib }, 0);
    disk.freeBytes = 500 * mib;
    expect(await kindOf(room.claim(400 * mib))).toBe('allowed');
  });

  it('ends for a body of unknown length when it is used up', async () => {
    const room = await open({ capacityBytes: gib, freeBytes: 10 * mib }, mib);
    const claim = await room.claim(0);
    await claim.grow(9 * mib);
    expect(await kindOf(claim.grow(1))).toBe('no-room');
    claim.release();
    expect(await kindOf(room.claim(9 * mib))).toBe('allowed');
  });

  it('says in its refusal what is free and what is kept back', async () => {
    const room = await open({ capacityBytes: gib, freeBytes: 1000 }, 400);
    await expect(room.claim(700)).rejects.toThrow(
      '700 bytes: 1000 are free, of which 400 are kept',
    );
  });
});

describe('what gives way to writes', () => {
  /** So many bytes on the disk that yield, all of them at once. */
  function letYield(room: Space, bytes: number) {
    const yielding = {
      yieldableBytes: bytes,
      yield: async () => {
        disk.freeBytes += yielding.yieldableBytes;
        yielding.yieldableBytes = 0;
      },
    };
    room.letYield(yielding);
    return yielding;
  }

  it('does so where a write finds no room without it', async () => {
    const room = await open({ capacityBytes: gib, freeBytes: 10 * mib }, 0);
    const yielding = letYield(room, 50 * mib);
    expect(room.freeBytes).toBe(60 * mib);
    expect(await kindOf(room.claim(10 * mib))).toBe('allowed');
    expect(yielding.yieldableBytes).toBe(50 * mib);
    expect(await kindOf(room.claim(50 * mib))).toBe('allowed');
    expect(yielding.yieldableBytes).toBe(0);
  });

  it('stays where the write would find no room with it either', async () => {
    const room = await open({ capacityBytes: gib, freeBytes: 10 * mib }, 0);
    const yielding = letYield(room, 50 * mib);
    expect(await kindOf(room.claim(61 * mib))).toBe('no-room');
    expect(yielding.yieldableBytes).toBe(50 * mib);
  });
});

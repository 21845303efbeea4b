import { execFileSync } from 'node:child_process';
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contentOf } from './harness/content.ts';
import { temporaryDirectory } from './harness/guard.ts';
import type { ErrorAnswer } from './harness/http.ts';
import { type SeparatePrograms, startSeparatePrograms } from './harness/separate-programs.ts';
import { waitUntil } from './harness/wait-until.ts';

const mib = 2 ** 20;
const diskBytes = 24 * mib;
const names = ['node-1', 'node-2', 'node-3'];

/** A file system of its own for each node; undefined where none may be mounted. */
function mountSmallDisks(): string[] | undefined {
  const disks: string[] = [];
  try {
    for (const name of names) {
      const path = temporaryDirectory(`disk-of-${name}`);
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${diskBytes}`, 'tmpfs', path], {
        stdio: 'ignore',
      });
      disks.push(path);
    }
    return disks;
  } catch {
    unmount(disks);
    return undefined;
  }
}

function unmount(disks: readonly string[]): void {
  for (const disk of disks) execFileSync('umount', ['-l', disk], { stdio: 'ignore' });
}

const disks = mountSmallDisks();

describe.skipIf(disks === undefined)('nodes whose disks are full', () => {
  let programs: SeparatePrograms;
  beforeAll(async () => {
    programs = await startSeparatePrograms({
      nodes: 0,
      copies: 2,
      // What is deleted must not have to wait for any of these.
      environment: { DFS_RESERVE_BYTES: '0', DFS_GC_GRACE: '30min', DFS_TRASH_TTL: '0' },
    });
    await Promise.all(
      names.map((name, at) =>
        programs.startNode({ name, dataDir: join(disks?.[at] as string, 'data') }),
      ),
    );
  });
  afterAll(async () => {
    await programs?.dispose();
    unmount(disks ?? []);
  });

  const kept = Array.from({ length: 6 }, (_, at) => `/kept/${at}.bin`);
  const contents = (path: string) => contentOf(path, mib);
  const foreignOn = (at: number) => join(disks?.[at] as string, 'somebody-elses-file');
  const freeOn = (at: number) => {
    const { bavail, bsize } = statfsSync(disks?.[at] as string);
    return bavail * bsize;
  };
  /** Somebody else fills the disk up to so many bytes. */
  const fill = (at: number, leaveBytes: number) => {
    empty(at);
    writeFileSync(foreignOn(at), Buffer.alloc(Math.max(0, freeOn(at) - leaveBytes)));
  };
  const empty = (at: number) => rmSync(foreignOn(at), { force: true });
  const knownFree = async (name: string) =>
    (await programs.nodes()).find((node) => node.name === name)?.free ?? 0;
  const heardOfRoom = (at: number) =>
    waitUntil(`the master to hear of the room on ${names[at]}`, async () => {
      const [known, real] = [await knownFree(names[at] as string), freeOn(at)];
      if (Math.abs(known - real) < 64 * 1024) return true;
      throw new Error(`${known} instead of ${real}`);
    });
  const expectAllReadable = async (paths: readonly string[]) => {
    for (const path of paths) {
      expect((await programs.get(path)).body.equals(contents(path)), path).toBe(true);
    }
  };

  it('lets everything go on while one of three is full, and says which one', async () => {
    for (const path of kept) await programs.store(path, contents(path));
    await programs.waitForAllCopies();
    fill(0, 100_000);
    await heardOfRoom(0);
    for (let at = 0; at < 4; at += 1) {
      const path = `/while-one-is-full/${at}.bin`;
      const { primary } = await programs.store(path, contents(path));
      expect(primary.name).not.toBe('node-1');
    }
    await programs.waitForAllCopies();
    const shown = await programs.dfs(['status']);
    expect(shown.stdout).toMatch(/node-1 is short of room: [\d.]+ KiB free/);
    expect(shown.stdout).not.toContain('too few nodes have room left');
    await expectAllReadable(kept);
  });

  it('reads and deletes while all are full, and refuses writes with 507 and which node lacks how much', async () => {
    for (const at of [0, 1, 2]) fill(at, 100_000);
    for (const at of [0, 1, 2]) await heardOfRoom(at);
    const refused = await programs.put('/no-room.bin', contents('/no-room.bin'));
    expect(refused.status, refused.text).toBe(507);
    const { message } = refused.json<ErrorAnswer>().error;
    for (const name of names) expect(message).toMatch(new RegExp(`${name} lacks \\d+`));
    expect((await programs.dfs(['put', '-', 'no-room.bin'], { stdin: 'x'.repeat(mib) })).code).toBe(
      6,
    );
    expect((await programs.dfs(['status'])).stdout).toContain('too few nodes have room left');
    await expectAllReadable(kept);
    // What still fits is still taken.
    expect((await programs.put('/small.bin', contentOf('small', 1_000))).status).toBe(201);
    const before = [0, 1, 2].map(freeOn);
    for (const path of kept.slice(0, 4)) expect((await programs.remove(path)).status).toBe(204);
    // Nobody waits half an hour: the room is back in seconds.
    await waitUntil(
      'the room of what was deleted',
      () => {
        const freed = [0, 1, 2].map((at) => freeOn(at) - (before[at] as number));
        if (freed.reduce((sum, bytes) => sum + bytes, 0) > 7 * mib) return true;
        throw new Error(freed.join());
      },
      { withinMs: 60_000 },
    );
    await expectAllReadable(kept.slice(4));
    await waitUntil('a write to be taken again', async () => {
      return (await programs.put('/again.bin', contents('/again.bin'))).status === 201;
    });
  });

  it('makes up by itself for what was missing once there is room', async () => {
    for (const at of [0, 1, 2]) empty(at);
    for (const at of [0, 1, 2]) await heardOfRoom(at);
    const path = '/with-room.bin';
    await programs.store(path, contents(path), { query: '?minCopies=2' });
    const status = await programs.waitForAllCopies({ withinMs: 90_000 });
    expect(status.roomIsShort).toBe(false);
    await expectAllReadable([...kept.slice(4), '/again.bin', path]);
  });
});

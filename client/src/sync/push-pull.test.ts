import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StoreError } from '@dfs/shared';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { seededRandom } from '../e2e/harness/content.ts';
import { SortedState } from '../state/sorted-state.ts';
import { HashCache } from '../trees/hash-cache.ts';
import { LocalFolder } from '../trees/local-folder.ts';
import { isWithin } from '../trees/tree-order.ts';
import type { Permissions } from './decide.ts';
import { endsOfPull, endsOfPush } from './ends.ts';
import { MemoryRemoteFolder } from './memory-remote-folder.ts';
import { mirror } from './mirror.ts';
import type { MirrorReport } from './mirror-report.ts';
import { showTransfers } from './transfer-progress.ts';

/** A tree as a map: the text of a file, or null for a directory. */
type Tree = ReadonlyMap<string, string | null>;

const plain: Permissions = { mayDelete: false, isForced: false };

/** Two folders, one on this disk and one in memory, and what is remembered of them. */
class Pair {
  readonly home = mkdtempSync(join(tmpdir(), 'dfs-pair-'));
  readonly top = join(this.home, 'local');
  readonly remote = new MemoryRemoteFolder();

  constructor() {
    mkdirSync(this.top);
  }

  async run(
    direction: 'push' | 'pull',
    permissions: Permissions = plain,
    { isDryRun = false, isKilled = false } = {},
  ): Promise<MirrorReport> {
    const hashes = await HashCache.open(join(this.home, 'hashes'));
    const base = await SortedState.open<string>(join(this.home, 'base'), 5);
    const progress = showTransfers({ label: '', tellsRetries: false, isShown: false });
    const onUnnamed = () => {};
    const local = new LocalFolder({
      top: this.top,
      hashes,
      mayBeMissing: false,
      onUnnamed,
      isTidied: true,
    });
    const folders = { local, remote: this.remote, progress };
    const report = await mirror({
      ends: direction === 'push' ? endsOfPush(folders) : endsOfPull(folders),
      permissions,
      base,
      keepsTimes: false,
      isDryRun,
      transfers: 3,
      progress,
    });
    // A process that is killed sorts nothing.
    if (!isKilled) await base.close();
    await hashes.close();
    return report;
  }

  local(): Tree {
    const tree = new Map<string, string | null>();
    const entries = readdirSync(this.top, { recursive: true, withFileTypes: true });
    for (const entry of entries) {
      const at = join(entry.parentPath, entry.name);
      const path = at.slice(this.top.length + 1);
      tree.set(path, entry.isDirectory() ? null : readFileSync(at, 'utf8'));
    }
    return tree;
  }

  stored(): Tree {
    const texts = [...this.remote.entries].map(
      ([path, held]) => [path, held ? held.bytes.toString() : null] as const,
    );
    return new Map(texts);
  }

  /** Text: a file; null: a directory; undefined: nothing. What is in the way goes. */
  editLocal(path: string, text: string | null | undefined): void {
    const at = join(this.top, path);
    const known = this.local();
    if (known.has(path)) rmSync(at, { recursive: true });
    if (text === undefined) return;
    for (let end = path.indexOf('/'); end !== -1; end = path.indexOf('/', end + 1)) {
      const parent = join(this.top, path.slice(0, end));
      if (known.get(path.slice(0, end)) !== null) rmSync(parent, { force: true });
      mkdirSync(parent, { recursive: true });
    }
    if (text === null) mkdirSync(at, { recursive: true });
    else writeFileSync(at, text);
  }

  editStore(path: string, text: string | null | undefined): void {
    const { entries } = this.remote;
    for (const other of [...entries.keys()]) if (isWithin(other, path)) entries.delete(other);
    if (text === undefined) return;
    for (let end = path.indexOf('/'); end !== -1; end = path.indexOf('/', end + 1))
      entries.set(path.slice(0, end), undefined);
    entries.set(path, text === null ? undefined : { bytes: Buffer.from(text), modifiedMs: 1 });
  }

  dispose(): void {
    rmSync(this.home, { recursive: true, force: true });
  }
}

const filesOf = (tree: Tree) => new Map([...tree].filter(([, text]) => text !== null));

describe('push and pull', () => {
  let pair: Pair;
  beforeEach(() => {
    pair = new Pair();
  });
  afterEach(() => pair.dispose());

  it('make the target equal, and say what was new, updated and unchanged', async () => {
    for (const path of ['a', 'd/b', 'd/c']) pair.editLocal(path, path);
    pair.editLocal('empty', null);
    const first = await pair.run('push');
    expect(first.created.sort()).toEqual(['a', 'd/', 'd/b', 'd/c', 'empty/']);
    expect(pair.stored()).toEqual(pair.local());
    pair.editLocal('d/b', 'changed');
    const second = await pair.run('push');
    expect([second.created, second.updated, second.unchanged]).toEqual([[], ['d/b'], 2]);
    pair.editStore('d/b', 'from elsewhere');
    expect((await pair.run('pull')).updated).toEqual(['d/b']);
    expect(pair.local()).toEqual(pair.stored());
  });

  it('touch nothing in a dry run, and say the same as the run after it', async () => {
    for (const path of ['a', 'd/b', 'gone/x', 'kind/y']) pair.editLocal(path, path);
    await pair.run('push');
    pair.editLocal('a', 'changed');
    pair.editLocal('gone', undefined);
    pair.editLocal('kind', 'a file now');
    pair.editLocal('new', 'new');
    const before = pair.stored();
    const permissions = { mayDelete: true, isForced: false };
    const dry = await pair.run('push', permissions, { isDryRun: true });
    expect(pair.stored()).toEqual(before);
    const real = await pair.run('push', permissions);
    for (const group of ['created', 'updated', 'deleted'] as const) {
      expect(dry[group].toSorted(), group).toEqual(real[group].toSorted());
    }
    expect(real.deleted.toSorted()).toEqual(['gone/', 'gone/x', 'kind/', 'kind/y']);
    expect(pair.stored()).toEqual(pair.local());
  });

  it('leave a conflict alone, and take a side with --force', async () => {
    pair.editLocal('a', 'old');
    await pair.run('push');
    pair.editLocal('a', 'mine');
    pair.editStore('a', 'theirs');
    for (const direction of ['push', 'pull'] as const) {
      const report = await pair.run(direction);
      expect(report.held).toEqual([{ path: 'a', reason: 'both-changed' }]);
    }
    expect([pair.local().get('a'), pair.stored().get('a')]).toEqual(['mine', 'theirs']);
    await pair.run('pull', { ...plain, isForced: true });
    expect([pair.local().get('a'), pair.stored().get('a')]).toEqual(['theirs', 'theirs']);
  });

  it('never lose what changes at the store between the listing and the write', async () => {
    for (const path of ['put', 'new', 'removed']) pair.editLocal(path, path);
    pair.editLocal('new', undefined);
    await pair.run('push');
    pair.editLocal('put', 'mine');
    pair.editLocal('new', 'mine');
    pair.editLocal('removed', undefined);
    pair.remote.beforeChange = (_deed, path) => pair.editStore(path, 'theirs');
    const report = await pair.run('push', { mayDelete: true, isForced: true });
    expect(report.held.map(({ path, reason }) => [path, reason]).sort()).toEqual([
      ['new', 'changed-meanwhile'],
      ['put', 'changed-meanwhile'],
      ['removed', 'changed-meanwhile'],
    ]);
    expect(new Set(pair.stored().values())).toEqual(new Set(['theirs']));
  });

  it('never lose what changes on this machine while it is fetched', async () => {
    for (const path of ['update', 'create']) pair.editStore(path, path);
    pair.editLocal('update', 'update');
    await pair.run('pull');
    pair.editStore('update', 'theirs');
    pair.editStore('create2', 'theirs');
    pair.remote.beforeChange = (_deed, path) => writeFileSync(join(pair.top, path), 'mine');
    const report = await pair.run('pull', { mayDelete: true, isForced: true });
    expect(report.held.map(({ path }) => path).sort()).toEqual(['create2', 'update']);
    expect([pair.local().get('update'), pair.local().get('create2')]).toEqual(['mine', 'mine']);
    expect(readdirSync(pair.top).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  it('go on with all others when one is refused, and stop when nothing can work', async () => {
    for (const path of ['a', 'b', 'c', 'd']) pair.editLocal(path, path);
    pair.remote.beforeChange = (_deed, path) => {
      if (path === 'b') throw new StoreError('forbidden', 'No.');
    };
    const report = await pair.run('push');
    expect(report.failed.map(({ path }) => path)).toEqual(['b']);
    expect([...pair.stored().keys()].sort()).toEqual(['a', 'c', 'd']);
    pair.remote.beforeChange = () => {
      throw new StoreError('unauthorized', 'Who are you?');
    };
    for (let n = 0; n < 50; n += 1) pair.editLocal(`more ${n}`, 'more');
    const stopped = await pair.run('push');
    expect(stopped.stopped).toMatchObject({ kind: 'unauthorized' });
    expect(stopped.failed.length).toBeLessThan(10);
  });

  const names = ['a', 'a/x', 'a/x/q', 'a/y', 'a-b', 'a-b/z', 'ab', 'b', 'b/x', 'é', 'c d/e'];
  const seeds = Array.from({ length: 60 }, (_, index) => index + 1);

  it.each(seeds)('keep every promise in any sequence: seed %i', async (seed) => {
    const random = seededRandom(seed);
    const whole = (most: number) => Math.floor(random() * most);
    const chance = (share: number) => random() < share;
    const base = new Map<string, string | null>();
    /** What was settled in a run that was cut off is partly unknown to this model. */
    let isExact = true;
    for (let step = 0; step < 10; step += 1) {
      for (let edits = whole(5); edits > 0; edits -= 1) {
        const path = names[whole(names.length)] as string;
        const what = whole(6);
        const text = what === 0 ? undefined : what === 1 ? null : `text ${whole(3)}`;
        if (chance(0.5)) pair.editLocal(path, text);
        else pair.editStore(path, text);
      }
      const direction = chance(0.5) ? 'push' : 'pull';
      const permissions = { mayDelete: chance(0.5), isForced: chance(0.3) };
      const [source, before] =
        direction === 'push' ? [pair.local(), pair.stored()] : [pair.stored(), pair.local()];
      const isCut = chance(0.2);
      let changesLeft = isCut ? whole(4) : Number.POSITIVE_INFINITY;
      pair.remote.beforeChange = () => {
        changesLeft -= 1;
        const cause = Object.assign(new Error('gone'), { code: 'ECONNREFUSED' });
        if (changesLeft < 0) throw new StoreError('unavailable', 'Gone.', { cause });
      };
      const report = await pair.run(direction, permissions, { isKilled: isCut });
      const [sourceAfter, after] =
        direction === 'push' ? [pair.local(), pair.stored()] : [pair.stored(), pair.local()];
      const told = `step ${step}: ${direction} ${JSON.stringify(permissions)} ${JSON.stringify(report)}`;
      const isHeld = (path: string) =>
        report.held.some((held) => isWithin(path, held.path) || isWithin(held.path, path));
      expect(sourceAfter, told).toEqual(source);
      for (const [path, text] of before) {
        // Without --delete no name goes.
        if (!permissions.mayDelete) expect(after.has(path), `${path} ${told}`).toBe(true);
        // Without --force nothing goes that came to the target since the last time.
        const isNew = text !== null && base.get(path) !== text && base.has(path);
        const isUnknown = text !== null && !base.has(path) && source.has(path);
        if (!permissions.isForced && isExact && (isNew || isUnknown))
          expect(after.get(path), `${path} ${told}`).toBe(text);
      }
      for (const [path, text] of after) {
        // Nothing but what one of the two had.
        expect([before.get(path), source.get(path)], `${path} ${told}`).toContain(text);
      }
      if (report.stopped === undefined) {
        expect(report.failed, told).toEqual([]);
        for (const [path, text] of source) {
          if (!isHeld(path)) expect(after.get(path), `${path} ${told}`).toBe(text);
        }
        if (permissions.mayDelete && report.held.length === 0) expect(after, told).toEqual(source);
        if (permissions.mayDelete && permissions.isForced) expect(report.held, told).toEqual([]);
        const equal = [...filesOf(source)].filter(([path, text]) => before.get(path) === text);
        if (report.held.length === 0) expect(report.unchanged, told).toBe(equal.length);
        for (const { path } of report.held) {
          const isJust = before.get(path) !== base.get(path) || permissions.isForced;
          const isKind = (before.get(path) === null) !== (source.get(path) === null);
          const isNotEmpty = before.get(path) === null && source.get(path) === undefined;
          if (isExact) expect(isJust || isKind || isNotEmpty, `${path} ${told}`).toBe(true);
        }
        const again = await pair.run(direction, permissions, { isDryRun: true });
        expect([again.created, again.updated, again.deleted], told).toEqual([[], [], []]);
      } else {
        isExact = false;
      }
      for (const path of new Set([...base.keys(), ...source.keys(), ...before.keys()])) {
        if (after.get(path) !== source.get(path)) continue;
        const text = after.get(path);
        if (text === undefined) base.delete(path);
        else base.set(path, text);
      }
    }
  });
});

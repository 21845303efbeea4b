import { StoreError } from '@dfs/shared';
import type { SortedState } from '../state/sorted-state.ts';
import { joinTrees } from '../trees/join-trees.ts';
import { Limited, mapInOrder } from '../trees/limited.ts';
import { isWithin } from '../trees/tree-order.ts';
import { type Action, type Content, decide, directoryContent, type Permissions } from './decide.ts';
import { type AnyEntry, type AnyFile, ChangedWhileSent, type Ends } from './ends.ts';
import { type HeldReason, MirrorReport } from './mirror-report.ts';
import type { TransferProgress } from './transfer-progress.ts';

export interface MirrorOptions {
  readonly ends: Ends;
  readonly permissions: Permissions;
  /** What both sides held when they were last made equal; without it nothing is remembered. */
  readonly base?: SortedState<string>;
  /** Whether times of modification are made equal as well, also of what needs no writing. */
  readonly keepsTimes: boolean;
  /** The time that the top of the target gets, too. */
  readonly topModifiedMs?: number | undefined;
  readonly isDryRun: boolean;
  /** Transfers at a time. */
  readonly transfers: number;
  readonly progress: TransferProgress;
}

/** How many paths are looked at ahead of the transfers. */
const lookAhead = 16;

/** One path on both sides, with what was found out about it. */
interface Met {
  readonly path: string;
  readonly source: AnyEntry | undefined;
  readonly target: AnyEntry | undefined;
  readonly contents: { source: Content; target: Content; base: Content };
  /** Why its content could not be found out. */
  readonly error?: unknown;
}

/**
 * Makes one tree equal to another: walks both side by side, has each path decided by `decide`, and does what that says, several transfers at a time.
 * What fails is reported and the rest goes on; only what would fail for everything stops it.
 */
export async function mirror(options: MirrorOptions): Promise<MirrorReport> {
  return new Mirror(options).run();
}

class Mirror {
  readonly #options: MirrorOptions;
  readonly #report = new MirrorReport();
  readonly #work: Limited;
  /** Nothing at or below this path is touched. */
  #heldTop: string | undefined;
  /** Directories of the target that go once they are empty, in the order of trees. */
  readonly #leaving: string[] = [];
  /** Files for which a directory has to go first. */
  readonly #late: Met[] = [];
  /** Those of them that turned out not to be empty. */
  readonly #remaining = new Set<string>();
  readonly #times: DirectoryTimes;
  #failuresInARow = 0;

  constructor(options: MirrorOptions) {
    this.#options = options;
    this.#work = new Limited(options.transfers);
    this.#times = new DirectoryTimes(options.keepsTimes, options.topModifiedMs);
  }

  async run(): Promise<MirrorReport> {
    const { base, isDryRun } = this.#options;
    const settled = base?.cursor((path) => {
      // It is on neither side any more.
      if (!isDryRun) base.set(path, undefined);
    });
    try {
      const met = mapInOrder(this.#meet(settled), lookAhead, (each) => this.#findOut(each));
      for await (const each of met) {
        if (this.#report.stopped !== undefined) break;
        await this.#treat(each);
      }
      await this.#work.drain();
      if (this.#report.stopped === undefined) await this.#finish();
      if (this.#report.stopped === undefined) await settled?.finish();
    } finally {
      await this.#work.drain();
      await settled?.stop();
    }
    return this.#report;
  }

  async *#meet(settled: { at(path: string): Promise<string | undefined> } | undefined) {
    const { ends } = this.#options;
    for await (const { path, left, right } of joinTrees(ends.source(), ends.target())) {
      yield { path, source: left, target: right, base: await settled?.at(path) };
    }
  }

  /** Reads files only where the answer depends on it. */
  async #findOut(each: {
    path: string;
    source: AnyEntry | undefined;
    target: AnyEntry | undefined;
    base: Content;
  }): Promise<Met> {
    const { path, source, target, base } = each;
    const isKnownToDiffer =
      base === undefined && (!isFile(source) || !isFile(target) || sizeDiffers(source, target));
    const contentOf = async (entry: AnyEntry | undefined, name: string): Promise<Content> => {
      if (entry === undefined || entry.kind === 'skipped') return undefined;
      if (entry.kind === 'directory') return directoryContent;
      return isKnownToDiffer ? `${name} file` : this.#options.ends.md5Of(entry);
    };
    const none = { source: undefined, target: undefined, base };
    if (source?.kind === 'skipped' || target?.kind === 'skipped' || this.#isHeld(path))
      return { path, source, target, contents: none };
    try {
      const contents = {
        source: await contentOf(source, 'source'),
        target: await contentOf(target, 'target'),
        base,
      };
      return { path, source, target, contents };
    } catch (error) {
      return { path, source, target, contents: none, error };
    }
  }

  async #treat(met: Met): Promise<void> {
    const { path, source, target, contents, error } = met;
    if (this.#isHeld(path)) return;
    this.#times.meet(source, target);
    if (source?.kind === 'skipped') {
      this.#heldTop = path;
      this.#report.skipped.push(source);
      return;
    }
    if (target?.kind === 'skipped') {
      this.#heldTop = path;
      if (source !== undefined) this.#hold(path, 'in-the-way', `there is ${target.reason}`);
      return;
    }
    if (error !== undefined) {
      if (this.#options.ends.isSourceGone(error)) this.#pass(path);
      else this.#fail(path, error);
      if (source?.kind !== target?.kind) this.#heldTop = path;
      return;
    }
    await this.#act(met, decide(contents, this.#options.permissions));
  }

  async #act(met: Met, action: Action): Promise<void> {
    const { path, source, target, contents } = met;
    switch (action.kind) {
      case 'same':
        this.#settle(path, contents.source, contents.base);
        if (!isFile(source)) return;
        this.#report.unchanged += 1;
        this.#options.progress.file(source.sizeBytes);
        await this.#copyTime(source, target);
        return;
      case 'keep':
        if (isFile(target)) this.#report.kept += 1;
        return;
      case 'hold':
        if (source?.kind === 'directory' || target?.kind === 'directory') this.#heldTop = path;
        this.#hold(path, action.reason);
        return;
      case 'delete':
        if (isFile(target)) await this.#begin(path, () => this.#remove(target));
        else this.#leaving.push(path);
        return;
      case 'replace':
        if (isFile(target)) {
          // What is to be below it waits for this.
          await this.#attempt(path, async () => {
            await this.#remove(target);
            await this.#makeDirectory(path);
          });
          if (!this.#hasMade(path)) this.#heldTop = path;
          return;
        }
        this.#leaving.push(path);
        this.#late.push(met);
        return;
      case 'create':
      case 'update':
        if (isFile(source)) await this.#begin(path, () => this.#write(source, target));
        else await this.#begin(path, () => this.#makeDirectory(path));
        return;
    }
  }

  /** What had to wait for everything else. */
  async #finish(): Promise<void> {
    // From the deepest up; each waits for what was in it.
    for (const path of this.#leaving.reverse()) {
      await this.#attempt(path, () => this.#removeDirectory(path));
    }
    for (const { path, source } of this.#late) {
      if (!isFile(source) || this.#remaining.has(path)) continue;
      await this.#begin(path, () => this.#write(source, undefined));
    }
    await this.#work.drain();
    if (this.#options.isDryRun) return;
    for (const [path, modifiedMs] of this.#times.wanted()) {
      await this.#begin(path, () => this.#options.ends.setModified(path, modifiedMs));
    }
    await this.#work.drain();
  }

  async #write(source: AnyFile, target: AnyEntry | undefined): Promise<void> {
    const { ends, isDryRun, progress } = this.#options;
    const { path, sizeBytes } = source;
    if (isDryRun) progress.bytes(sizeBytes);
    else {
      this.#times.touch(path);
      const md5 = await ends.write(source, isFile(target) ? target : undefined);
      this.#settle(path, md5);
    }
    (isFile(target) ? this.#report.updated : this.#report.created).push(path);
    this.#report.bytes += sizeBytes;
    progress.file(0);
  }

  async #makeDirectory(path: string): Promise<void> {
    if (!this.#options.isDryRun) {
      this.#times.touch(path);
      await this.#options.ends.makeDirectory(path);
      this.#settle(path, directoryContent);
    }
    this.#report.created.push(`${path}/`);
  }

  async #remove(file: AnyFile): Promise<void> {
    if (!this.#options.isDryRun) {
      this.#times.touch(file.path);
      await this.#options.ends.removeFile(file);
      this.#settle(file.path, undefined);
    }
    this.#report.deleted.push(file.path);
  }

  async #removeDirectory(path: string): Promise<void> {
    // A dry run cannot tell which ones would be empty, but for what it left alone below.
    const isEmpty = this.#options.isDryRun
      ? !this.#report.held.some((held) => isWithin(held.path, path))
      : await this.#options.ends.removeDirectory(path);
    if (!isEmpty) {
      this.#remaining.add(path);
      const isTold = this.#report.held.some((held) => isWithin(held.path, path));
      if (!isTold || this.#late.some((met) => met.path === path)) this.#hold(path, 'not-empty');
      return;
    }
    if (!this.#options.isDryRun) {
      this.#times.touch(path);
      this.#settle(path, undefined);
    }
    this.#report.deleted.push(`${path}/`);
  }

  async #copyTime(source: AnyFile, target: AnyEntry | undefined): Promise<void> {
    const { keepsTimes, isDryRun, ends } = this.#options;
    const { path, modifiedMs } = source;
    if (!keepsTimes || isDryRun || !isFile(target) || target.modifiedMs === modifiedMs) return;
    await this.#begin(path, () => ends.setModified(path, modifiedMs));
  }

  /** Both sides are alike at this path now. */
  #settle(path: string, content: Content, known?: Content): void {
    const { base, isDryRun } = this.#options;
    if (base === undefined || isDryRun || (content !== undefined && content === known)) return;
    base.set(path, content);
  }

  #begin(path: string, work: () => Promise<void>): Promise<void> {
    return this.#work.begin(() => this.#attempt(path, work));
  }

  async #attempt(path: string, work: () => Promise<void>): Promise<void> {
    if (this.#report.stopped !== undefined) return;
    try {
      await work();
      this.#failuresInARow = 0;
    } catch (error) {
      if (this.#options.ends.isSourceGone(error)) this.#pass(path);
      else if (isRefusal(error)) this.#hold(path, 'changed-meanwhile', (error as Error).message);
      else this.#fail(path, error);
    }
  }

  #fail(path: string, error: unknown): void {
    // What was stored is a content that both sides held, as far as can be told.
    if (error instanceof ChangedWhileSent) this.#settle(path, error.md5);
    this.#report.failed.push({ path, error });
    this.#failuresInARow += isUnavailable(error) ? 1 : 0;
    const isHopeless =
      isFatal(error) || this.#failuresInARow >= Math.max(3, this.#options.transfers);
    if (isHopeless) this.#report.stopped ??= error;
  }

  #pass(path: string): void {
    this.#report.skipped.push({ path, reason: 'gone meanwhile', isFailure: false });
  }

  #hold(path: string, reason: HeldReason, message?: string): void {
    this.#report.held.push({ path, reason, ...(message === undefined ? {} : { message }) });
  }

  #hasMade(path: string): boolean {
    return this.#report.created.at(-1) === `${path}/`;
  }

  #isHeld(path: string): boolean {
    return this.#heldTop !== undefined && isWithin(path, this.#heldTop);
  }
}

/** Which directories of the target get the time that they have at the source, once nothing in them changes any more. */
class DirectoryTimes {
  readonly #isWanted: boolean;
  readonly #wanted = new Map<string, number>();
  /** Of all directories of the source, while they may still be written in. */
  readonly #known = new Map<string, number>();

  constructor(isWanted: boolean, topModifiedMs: number | undefined) {
    this.#isWanted = isWanted;
    if (topModifiedMs !== undefined) this.#wanted.set('', topModifiedMs);
  }

  meet(source: AnyEntry | undefined, target: AnyEntry | undefined): void {
    if (!this.#isWanted || source?.kind !== 'directory') return;
    const { path, modifiedMs } = source;
    this.#known.set(path, modifiedMs);
    if (target?.kind !== 'directory' || target.modifiedMs !== modifiedMs)
      this.#wanted.set(path, modifiedMs);
  }

  /** Something in the parent of this path changes, and with it the parent's time. */
  touch(path: string): void {
    if (!this.#isWanted) return;
    const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    const modifiedMs = this.#known.get(parent);
    if (modifiedMs !== undefined) this.#wanted.set(parent, modifiedMs);
  }

  wanted(): [string, number][] {
    return [...this.#wanted].reverse();
  }
}

const isFile = (entry: AnyEntry | undefined): entry is AnyFile => entry?.kind === 'file';

const sizeDiffers = (a: AnyFile, b: AnyFile) => a.sizeBytes !== b.sizeBytes;

const kindOf = (error: unknown) => (error instanceof StoreError ? error.kind : undefined);

/** The target is not as it was found. */
const refusals: ReadonlySet<unknown> = new Set([
  'precondition-failed',
  'is-a-directory',
  'not-a-directory',
  'conflict',
]);
const isRefusal = (error: unknown) => refusals.has(kindOf(error));

const isUnavailable = (error: unknown) => kindOf(error) === 'unavailable';

/** What nothing else would be spared. */
function isFatal(error: unknown): boolean {
  const code = ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code;
  const isUnreachable = isUnavailable(error) && typeof code === 'string';
  const own = (error as NodeJS.ErrnoException).code;
  return (
    isUnreachable ||
    ['unauthorized', 'in-recovery', 'cancelled'].includes(kindOf(error) ?? '') ||
    own === 'ENOSPC' ||
    own === 'EDQUOT' ||
    own === 'EROFS'
  );
}

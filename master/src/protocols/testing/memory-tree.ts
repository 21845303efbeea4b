import {
  alternativeName,
  baseNameOf,
  childOf,
  type EntryId,
  type FileId,
  type FilePath,
  isWithin,
  namesOf,
  newEntryId,
  newFileId,
  parentOf,
  rootPath,
  StoreError,
} from '@dfs/shared';
import type { PutRequest } from '../../files/file-types.ts';
import type {
  CopyRequest,
  MoveRequest,
  RemoveOptions,
  RestoreOptions,
  TrashSelection,
  TreeService,
} from '../../files/tree-types.ts';
import type {
  BindCondition,
  DirectoryPage,
  Entry,
  FileRecord,
  NamedEntry,
  NamedFile,
  Visibility,
} from '../../metadata/metadata-repository.ts';
import type { TrashedEntry, TrashPage, Usage } from '../../metadata/tree-changes.ts';
import type { CopyFailure, CopyOutcome, WalkedEntry } from '../../metadata/working-tree.ts';

const trashTtlMs = 86_400_000;
const walkPageLength = 3;

const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));
const isBelow = (path: string, directory: string) =>
  directory === '/' ? path !== '/' : path.startsWith(`${directory}/`);

interface Trashed extends TrashedEntry {
  /** By path relative to the item: its own is empty. */
  readonly tree: ReadonlyMap<string, Entry>;
}

/** The tree of `MemoryFileService`: one map of paths, so that every promise of `TreeService` can be kept in the plainest way. */
export class MemoryTree implements Omit<TreeService, 'touch'> {
  protected readonly entries = new Map<string, Entry>();
  protected readonly contents = new Map<FileId, { record: FileRecord; bytes: Buffer }>();
  protected readonly now: () => number;
  /** A copy meets this at these destinations. */
  readonly copyFaults = new Map<string, Error>();
  #trash: Trashed[] = [];

  constructor(now: () => number = Date.now) {
    this.now = now;
    this.entries.set(rootPath, this.entryOf(rootPath, 'directory'));
  }

  async list(
    path: FilePath,
    { after = '', limit }: { after?: string; limit: number },
  ): Promise<DirectoryPage> {
    this.#getDirectory(path);
    const all = this.#childrenOf(path).filter(({ name }) => byBytes(name, after) > 0);
    const entries = all.slice(0, limit);
    const last = entries.at(-1);
    return { entries, ...(all.length > limit && last ? { next: last.name } : {}) };
  }

  async makeDirectory(path: FilePath, { parents = false } = {}): Promise<{ isNew: boolean }> {
    const entry = this.entries.get(path);
    if (entry?.kind === 'file') throw new StoreError('not-a-directory', `${path} is a file.`);
    if (entry) return { isNew: false };
    if (parents) this.#checkParents(path);
    else this.#checkParent(path);
    this.makeParents(path);
    this.entries.set(path, this.entryOf(path, 'directory'));
    return { isNew: true };
  }

  async remove(path: FilePath, options: RemoveOptions = {}): Promise<void> {
    const entry = this.entries.get(path);
    if (!entry) throw this.nothingAt(path);
    if (path === rootPath) throw new StoreError('conflict', 'The root cannot be removed.');
    this.checkCondition(path, options);
    if (options.expect === 'file' && entry.kind === 'directory') {
      throw new StoreError('is-a-directory', `${path} is a directory.`);
    }
    if (options.expect === 'empty-directory') {
      if (entry.kind === 'file') throw new StoreError('not-a-directory', `${path} is a file.`);
      if (this.#childrenOf(path).length > 0) {
        throw new StoreError('conflict', `${path} is not empty.`, { hint: 'Empty it first.' });
      }
    }
    if (options.skipTrash) this.#take(path);
    else this.discardEntry(path, 'deleted');
  }

  async move(request: MoveRequest): Promise<{ isNew: boolean }> {
    const { from, to } = request;
    const isNew = this.#makeWay(request);
    if (from === rootPath) throw new StoreError('conflict', 'The root cannot be moved.');
    this.#place(this.#take(from), to);
    return { isNew };
  }

  async copy(request: CopyRequest): Promise<CopyOutcome> {
    const { from, to, depth } = request;
    const isNew = this.#makeWay(request);
    const failures: CopyFailure[] = [];
    const tree = new Map<string, Entry>();
    for (const [rest, entry] of this.#treeAt(from)) {
      const error = this.copyFaults.get(to + rest);
      if (error) failures.push({ path: to + rest, error });
      else if (rest === '' || depth !== 0) tree.set(rest, this.#copyOf(entry));
    }
    this.#place(tree, to);
    return { isNew, failures };
  }

  async setCopies(path: FilePath, copies: number | null): Promise<void> {
    const entry = this.entries.get(path);
    if (!entry) throw this.nothingAt(path);
    const { copies: _, ...rest } = entry;
    this.entries.set(path, copies === null ? rest : { ...rest, copies });
  }

  async setVisibility(path: FilePath, visibility: Visibility): Promise<void> {
    const entry = this.entries.get(path);
    if (!entry) throw this.nothingAt(path);
    this.entries.set(path, { ...entry, visibility });
  }

  async usage(path: FilePath): Promise<Usage> {
    const entry = this.entries.get(path);
    if (!entry) throw this.nothingAt(path);
    const below = [...this.#treeAt(path)].filter(([rest]) => rest !== '' || entry.kind === 'file');
    return { kind: entry.kind, ...this.#sumOf(below.map(([, each]) => each)) };
  }

  async *walk(
    path: FilePath,
    { after }: { readonly after?: FilePath } = {},
  ): AsyncGenerator<readonly WalkedEntry[]> {
    this.#getDirectory(path);
    const skipped = after === undefined ? [] : namesOf(after);
    const all = [...this.entries.keys()]
      .filter((each) => isBelow(each, path))
      .map((each) => ({ path: each as FilePath, names: namesOf(each as FilePath) }))
      .filter(({ names }) => byNames(names, skipped) > 0)
      .sort((a, b) => byNames(a.names, b.names));
    for (let at = 0; at < all.length; at += walkPageLength) {
      const page = all.slice(at, at + walkPageLength);
      yield page.map((each) => ({ path: each.path, ...this.#listed(each.path) }));
    }
  }

  async listTrash(query: { after?: string; limit: number; path?: FilePath }): Promise<TrashPage> {
    const { after = '', limit, path } = query;
    const all = this.#shownTrash().filter(
      (item) => path === undefined || item.path === path || isBelow(item.path, path),
    );
    all.splice(0, all.findIndex(({ id }) => id === after) + 1);
    const items = all.slice(0, limit).map(({ tree: _, ...item }) => item);
    const last = items.at(-1);
    return { items, ...(all.length > limit && last ? { next: last.id } : {}) };
  }

  async restoreFromTrash(
    id: EntryId,
    { to, onConflict, within = rootPath }: RestoreOptions,
  ): Promise<FilePath> {
    const item = this.#shownTrash().find((each) => each.id === id);
    if (!item || !isWithin(item.path, within))
      throw new StoreError('not-found', `There is no ${id} in the trash.`);
    let path = to ?? item.path;
    this.#checkParents(path);
    if (this.entries.has(path)) {
      if (onConflict === 'fail') throw new StoreError('precondition-failed', `${path} is taken.`);
      if (onConflict === 'rename') path = this.freeName(path);
      else this.discardEntry(path, 'replaced');
    }
    this.#trash = this.#trash.filter((each) => each !== item);
    this.makeParents(path);
    this.#place(item.tree, path);
    return path;
  }

  async emptyTrash(selection: TrashSelection): Promise<number> {
    const goes = ({ id, path }: Trashed) => {
      if ('ids' in selection) {
        return selection.ids.includes(id) && isWithin(path, selection.within ?? rootPath);
      }
      if ('path' in selection) return path === selection.path || isBelow(path, selection.path);
      return true;
    };
    const before = this.#trash.length;
    this.#trash = this.#trash.filter((item) => !goes(item));
    return before - this.#trash.length;
  }

  // ── for tests ──

  findNamed(path: FilePath): NamedEntry | undefined {
    const entry = this.findEntry(path);
    return entry && { path, entry, isPublic: this.isPublic(path), copiesWanted: 3 };
  }

  findEntry(path: FilePath): Entry | undefined {
    return this.entries.get(path);
  }

  // ── for what is built on it ──

  protected named(path: FilePath): NamedFile | undefined {
    const entry = this.entries.get(path);
    const file = entry?.fileId && this.contents.get(entry.fileId)?.record;
    return entry && file
      ? { path, entry, file, isPublic: this.isPublic(path), copiesWanted: 3 }
      : undefined;
  }

  protected isPublic(path: FilePath): boolean {
    const visibility = this.entries.get(path)?.visibility ?? 'inherit';
    if (visibility !== 'inherit') return visibility === 'public';
    return path !== rootPath && this.isPublic(parentOf(path));
  }

  protected checkName({ path, onConflict }: Pick<PutRequest, 'path' | 'onConflict'>): void {
    this.#checkParents(path);
    if (this.entries.get(path)?.kind !== 'directory' || onConflict === 'rename') return;
    if (onConflict === 'fail') throw new StoreError('precondition-failed', `${path} is taken.`);
    throw new StoreError('is-a-directory', `${path} is a directory.`);
  }

  protected checkCondition(path: FilePath, { ifMatch, ifNoneMatch }: BindCondition): void {
    const entry = this.entries.get(path);
    const md5 = this.named(path)?.file.md5;
    const matches = (tags: '*' | readonly string[]) =>
      tags === '*' ? entry !== undefined : md5 !== undefined && tags.includes(md5);
    if ((ifMatch && !matches(ifMatch)) || (ifNoneMatch && matches(ifNoneMatch))) {
      throw new StoreError('precondition-failed', `${path} is not what the condition names.`);
    }
  }

  protected freeName(path: FilePath): FilePath {
    for (let n = 1; ; n += 1) {
      const free = childOf(parentOf(path), alternativeName(baseNameOf(path), n));
      if (!this.entries.has(free)) return free;
    }
  }

  protected makeParents(path: FilePath): void {
    const names = namesOf(path).slice(0, -1);
    for (const depth of names.keys()) {
      const above = `/${names.slice(0, depth + 1).join('/')}` as FilePath;
      if (!this.entries.has(above)) this.entries.set(above, this.entryOf(above, 'directory'));
    }
  }

  protected entryOf(path: FilePath, kind: Entry['kind']): Entry {
    const id = newEntryId();
    const atMs = this.now();
    return {
      id,
      parentId: id,
      name: baseNameOf(path),
      kind,
      createdAtMs: atMs,
      modifiedAtMs: atMs,
      visibility: 'inherit',
    };
  }

  protected nothingAt(path: FilePath): StoreError {
    return new StoreError('not-found', `There is nothing at ${path}.`);
  }

  /** To the trash with all that is below. */
  protected discardEntry(path: FilePath, reason: TrashedEntry['reason']): void {
    const { kind } = this.entries.get(path) as Entry;
    const tree = this.#take(path);
    const { files, bytes } = this.#sumOf([...tree.values()]);
    const removedAtMs = this.now();
    this.#trash.push({
      id: newEntryId(),
      path,
      kind,
      reason,
      removedAtMs,
      expiresAtMs: removedAtMs + trashTtlMs,
      sizeBytes: bytes,
      files,
      tree,
    });
  }

  // ── inside ──

  /** Judges a move or copy; what is in its way goes to the trash. */
  #makeWay({ from, to, overwrite, ...condition }: MoveRequest): boolean {
    if (!this.entries.has(from)) throw this.nothingAt(from);
    this.checkCondition(from, condition);
    if (from === to) throw new StoreError('forbidden', `${from} is that already.`);
    if (isBelow(to, from)) throw new StoreError('conflict', `${to} is in ${from}.`);
    this.#checkParent(to);
    if (!this.entries.has(to)) return true;
    if (!overwrite) throw new StoreError('precondition-failed', `${to} is taken.`);
    if (isBelow(from, to)) throw new StoreError('conflict', `${from} is in ${to}.`);
    this.discardEntry(to, 'replaced');
    return false;
  }

  #checkParent(path: FilePath): void {
    this.#checkParents(path);
    if (this.entries.has(parentOf(path))) return;
    throw new StoreError('conflict', `There is no directory ${parentOf(path)}.`);
  }

  #checkParents(path: FilePath): void {
    for (let above = parentOf(path); above !== rootPath; above = parentOf(above)) {
      if (this.entries.get(above)?.kind === 'file') {
        throw new StoreError('not-a-directory', `${above} is a file.`);
      }
    }
  }

  #getDirectory(path: FilePath): void {
    const entry = this.entries.get(path);
    if (!entry) throw new StoreError('not-found', `There is no directory ${path}.`);
    if (entry.kind === 'directory') return;
    throw new StoreError('not-a-directory', `${path} is a file.`);
  }

  #listed(path: FilePath) {
    const entry = this.entries.get(path) as Entry;
    const record = entry.fileId && this.contents.get(entry.fileId)?.record;
    return { ...entry, isPublic: this.isPublic(path), ...(record ? { file: record } : {}) };
  }

  #childrenOf(path: FilePath) {
    return [...this.entries.keys()]
      .filter((each) => each !== rootPath && parentOf(each as FilePath) === path)
      .map((each) => this.#listed(each as FilePath))
      .sort((a, b) => byBytes(a.name, b.name));
  }

  /** What is at a path and below, by the rest of its path. */
  #treeAt(path: string): Map<string, Entry> {
    const length = path === rootPath ? 0 : path.length;
    return new Map(
      [...this.entries]
        .filter(([each]) => each === path || isBelow(each, path))
        .map(([each, entry]) => [each === path ? '' : each.slice(length), entry]),
    );
  }

  #take(path: string): Map<string, Entry> {
    const tree = this.#treeAt(path);
    for (const rest of tree.keys()) this.entries.delete(path + rest);
    return tree;
  }

  #place(tree: ReadonlyMap<string, Entry>, path: FilePath): void {
    for (const [rest, entry] of tree) {
      this.entries.set(path + rest, rest === '' ? { ...entry, name: baseNameOf(path) } : entry);
    }
  }

  #copyOf(entry: Entry): Entry {
    const content = entry.fileId && this.contents.get(entry.fileId);
    if (!content) return { ...entry, id: newEntryId() };
    const fileId = newFileId();
    this.contents.set(fileId, { ...content, record: { ...content.record, id: fileId } });
    return { ...entry, id: newEntryId(), fileId };
  }

  #sumOf(entries: readonly Entry[]): { files: number; directories: number; bytes: number } {
    const files = entries.filter(({ kind }) => kind === 'file');
    const sizes = files.map(({ fileId }) => this.contents.get(fileId as FileId)?.record.sizeBytes);
    return {
      files: files.length,
      directories: entries.length - files.length,
      bytes: sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0),
    };
  }

  /** Newest first. */
  #shownTrash(): Trashed[] {
    return this.#trash.filter(({ expiresAtMs }) => expiresAtMs > this.now()).reverse();
  }
}

/** Depth first: a directory stands before what is in it. */
function byNames(a: readonly string[], b: readonly string[]): number {
  for (const [index, name] of a.entries()) {
    const other = b[index];
    if (other === undefined) return 1;
    const order = byBytes(name, other);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

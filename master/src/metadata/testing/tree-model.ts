import type { StoreErrorKind } from '@dfs/shared';

/** What is to happen, in plain words. Paths as the repository takes them. */
export type TreeOperation =
  | { readonly kind: 'put'; readonly path: string; readonly size: number; readonly keep: boolean }
  | { readonly kind: 'make'; readonly path: string }
  | {
      readonly kind: 'move';
      readonly from: string;
      readonly to: string;
      readonly overwrite: boolean;
      readonly keep: boolean;
    }
  | {
      readonly kind: 'remove';
      readonly path: string;
      readonly expect?: 'file' | 'empty-directory';
      readonly keep: boolean;
    }
  | {
      readonly kind: 'restore';
      readonly item: ModelItem;
      readonly to?: string;
      readonly replace: boolean;
      readonly keep: boolean;
    };

/** A file is its size, by which the tests tell contents apart; a directory is what is in it. */
export type ModelNode = number | Map<string, ModelNode>;

export interface ModelItem {
  readonly node: ModelNode;
  readonly path: string;
  readonly reason: 'deleted' | 'replaced';
  readonly removedAtMs: number;
  readonly expiresAtMs: number;
}

/** A refusal that is expected. */
export class Refused extends Error {
  readonly kind: StoreErrorKind;

  constructor(kind: StoreErrorKind) {
    super(kind);
    this.kind = kind;
  }
}

/** The tree and the trash as they ought to be: the plainest program that keeps the promises, one operation after the other. */
export class TreeModel {
  readonly root = new Map<string, ModelNode>();
  readonly items = new Set<ModelItem>();
  readonly #ttlMs: number;

  constructor(ttlMs: number) {
    this.#ttlMs = ttlMs;
  }

  /** Throws `Refused`. */
  apply(operation: TreeOperation, nowMs: number): void {
    switch (operation.kind) {
      case 'put':
        this.#put(operation, nowMs);
        break;
      case 'make':
        this.#make(namesOf(operation.path));
        break;
      case 'move':
        this.#move(operation, nowMs);
        break;
      case 'remove':
        this.#remove(operation, nowMs);
        break;
      case 'restore':
        this.#restore(operation, nowMs);
        break;
    }
  }

  /** Each path with the size of the file there, or 'directory'; depth first. */
  paths(): [string, number | 'directory'][] {
    const list = (
      directory: Map<string, ModelNode>,
      at: string,
    ): [string, number | 'directory'][] =>
      [...directory].sort(byName).flatMap(([name, node]) => {
        const path = `${at}/${name}`;
        return typeof node === 'number'
          ? [[path, node] as [string, number]]
          : [[path, 'directory'] as [string, 'directory'], ...list(node, path)];
      });
    return list(this.root, '');
  }

  #put({ path, size, keep }: TreeOperation & { kind: 'put' }, nowMs: number): void {
    const names = namesOf(path);
    const name = names.pop();
    if (name === undefined) throw new Refused('is-a-directory');
    const parent = this.#make(names);
    // What is there has parents: none were made on the way to this refusal.
    const existing = parent.get(name);
    if (existing instanceof Map) throw new Refused('is-a-directory');
    if (existing !== undefined) this.#discard(existing, path, 'replaced', keep, nowMs);
    parent.set(name, size);
  }

  #make(names: readonly string[]): Map<string, ModelNode> {
    let at = this.root;
    // Nothing is made on the way to a refusal.
    const known = this.#find(names.slice(0, this.#depthOf(names)));
    if (typeof known === 'number') throw new Refused('not-a-directory');
    for (const name of names) {
      const next = at.get(name) ?? new Map();
      if (typeof next === 'number') throw new Refused('not-a-directory');
      at.set(name, next);
      at = next;
    }
    return at;
  }

  #move({ from, to, overwrite, keep }: TreeOperation & { kind: 'move' }, nowMs: number): void {
    if (from === '/') throw new Refused('conflict');
    const source = this.#find(namesOf(from));
    if (source === undefined) throw new Refused('not-found');
    if (from === to) throw new Refused('forbidden');
    if (`${to}/`.startsWith(`${from}/`)) {
      // Below a file nothing is inside of it, but the file is no directory either.
      throw new Refused('conflict');
    }
    const names = namesOf(to);
    const existing = this.#find(names);
    const parent = this.#find(names.slice(0, -1));
    if (existing === undefined && !(parent instanceof Map)) {
      const last = this.#find(names.slice(0, this.#depthOf(names)));
      throw new Refused(typeof last === 'number' ? 'not-a-directory' : 'conflict');
    }
    if (existing !== undefined && !overwrite) throw new Refused('precondition-failed');
    if (existing !== undefined && `${from}/`.startsWith(to === '/' ? '/' : `${to}/`)) {
      throw new Refused('conflict');
    }
    if (existing !== undefined) this.#discard(existing, to, 'replaced', keep, nowMs);
    this.#take(namesOf(from));
    (parent as Map<string, ModelNode>).set(names.at(-1) as string, source);
  }

  #remove({ path, expect, keep }: TreeOperation & { kind: 'remove' }, nowMs: number): void {
    if (path === '/') throw new Refused('conflict');
    const node = this.#find(namesOf(path));
    if (node === undefined) throw new Refused('not-found');
    const isFile = typeof node === 'number';
    if (expect === 'file' && !isFile) throw new Refused('is-a-directory');
    if (expect === 'empty-directory' && isFile) throw new Refused('not-a-directory');
    if (expect === 'empty-directory' && !isFile && node.size > 0) throw new Refused('conflict');
    this.#discard(node, path, 'deleted', keep, nowMs);
    this.#take(namesOf(path));
  }

  #restore(operation: TreeOperation & { kind: 'restore' }, nowMs: number): void {
    const { item, to = item.path, replace, keep } = operation;
    if (!this.items.has(item) || item.expiresAtMs <= nowMs) throw new Refused('not-found');
    const names = namesOf(to);
    const name = names.pop();
    if (name === undefined) throw new Refused('conflict');
    const parent = this.#make(names);
    const existing = parent.get(name);
    if (existing !== undefined && !replace) throw new Refused('precondition-failed');
    if (existing !== undefined) this.#discard(existing, to, 'replaced', keep, nowMs);
    parent.set(name, item.node);
    this.items.delete(item);
  }

  #discard(
    node: ModelNode,
    path: string,
    reason: ModelItem['reason'],
    keep: boolean,
    nowMs: number,
  ): void {
    if (!keep) return;
    this.items.add({
      node,
      path,
      reason,
      removedAtMs: nowMs,
      expiresAtMs: nowMs + this.#ttlMs,
    });
  }

  #take(names: readonly string[]): void {
    const parent = this.#find(names.slice(0, -1)) as Map<string, ModelNode>;
    parent.delete(names.at(-1) as string);
  }

  #find(names: readonly string[]): ModelNode | undefined {
    let at: ModelNode | undefined = this.root;
    for (const name of names) at = at instanceof Map ? at.get(name) : undefined;
    return at;
  }

  /** How many of these names are there, one after the other. */
  #depthOf(names: readonly string[]): number {
    let depth = 0;
    while (depth < names.length && this.#find(names.slice(0, depth + 1)) !== undefined) depth += 1;
    return depth;
  }
}

export interface ModelUsage {
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
}

/** All that is below a directory; of a file: itself. */
export function usageOf(node: ModelNode): ModelUsage {
  if (typeof node === 'number') return { files: 1, directories: 0, bytes: node };
  const sum = { files: 0, directories: 0, bytes: 0 };
  for (const child of node.values()) {
    const { files, directories, bytes } = usageOf(child);
    sum.files += files;
    sum.directories += directories + (child instanceof Map ? 1 : 0);
    sum.bytes += bytes;
  }
  return sum;
}

const namesOf = (path: string) => path.split('/').filter((name) => name !== '');

const byName = ([a]: [string, ModelNode], [b]: [string, ModelNode]) =>
  Buffer.compare(Buffer.from(a), Buffer.from(b));

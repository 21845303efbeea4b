import { type EntryId, StoreError } from '@dfs/shared';
import { seededRandom } from '@dfs/shared/testing';
import { expect, it } from 'vitest';
import type { TrashedEntry } from '../tree-changes.ts';
import { expectNoContradictions } from './invariants.ts';
import { bindRequest, onNewDatabase, path } from './metadata-fixtures.ts';
import type { MetadataHarness, OpenMetadata } from './metadata-harness.ts';
import { type ModelItem, Refused, TreeModel, type TreeOperation, usageOf } from './tree-model.ts';

const rounds = 25;
const operationsPerRound = 20;
const ttlMs = 60;

/**
 * Whoever writes at the same time is served in the order of arrival: the tree, the trash, the sizes and every refusal are those of a plain program that does one thing after the other. In between, sizes
 * are folded and the trash is collected, which nobody may notice.
 */
export function describeTreeAgainstModel(open: OpenMetadata): void {
  it(
    'is after any concurrent writes what it would be after one write at a time',
    onNewDatabase(open, async (harness) => {
      const seed = Math.floor(Math.random() * 2 ** 31);
      const run = new ModelRun(harness, seededRandom(seed));
      for (let round = 0; round < rounds; round += 1) {
        await run.round(`seed ${seed}, round ${round}`);
        if (round % 5 === 4) await expectNoContradictions(harness, `seed ${seed}, round ${round}`);
      }
    }),
  );
}

class ModelRun {
  readonly #harness: MetadataHarness;
  readonly #random: () => number;
  readonly #model = new TreeModel(ttlMs);
  #sizes = 0;

  constructor(harness: MetadataHarness, random: () => number) {
    this.#harness = harness;
    this.#random = random;
  }

  async round(hint: string): Promise<void> {
    const { repository, clock } = this.#harness;
    while ((await repository.foldSizes(1 + this.#below(20))) > 0);
    const items = await this.#matchItems(hint);
    const left = [...items.keys()];
    const operations = Array.from({ length: operationsPerRound }, () => this.#operation(left));
    const background: Promise<unknown>[] = [];
    const results = operations.map((operation) => {
      if (this.#random() < 0.2) background.push(repository.foldSizes(1 + this.#below(9)));
      if (this.#random() < 0.2) {
        background.push(repository.collectTrash({ nowMs: clock.now(), limit: 2 + this.#below(9) }));
      }
      return this.#run(operation, items).then(
        () => 'done',
        (error: unknown) => kindOf(error),
      );
    });
    const expected = operations.map((operation) => this.#expect(operation));
    await Promise.all(background);
    const seen = await Promise.all(results);
    for (const [index, operation] of operations.entries()) {
      expect([operation, seen[index]], hint).toEqual([operation, expected[index]]);
    }
    expect(await this.#paths(), hint).toEqual(this.#model.paths());
    clock.advance(this.#below(20));
  }

  /** What the trash shows is what the model holds; gives the id of each item. */
  async #matchItems(hint: string): Promise<ReadonlyMap<ModelItem, EntryId>> {
    const { repository, clock } = this.#harness;
    const { items } = await repository.listTrash({ nowMs: clock.now(), limit: 1_000 });
    const left = new Map<string, TrashedEntry[]>();
    for (const item of items) {
      const key = JSON.stringify([
        ...[item.path, item.reason, item.removedAtMs, item.expiresAtMs],
        ...[item.kind, item.files, item.sizeBytes],
      ]);
      left.set(key, [...(left.get(key) ?? []), item]);
    }
    const matched = new Map<ModelItem, EntryId>();
    for (const item of this.#model.items) {
      if (item.expiresAtMs <= clock.now()) {
        this.#model.items.delete(item);
        continue;
      }
      const { files, bytes } = usageOf(item.node);
      const kind = typeof item.node === 'number' ? 'file' : 'directory';
      const key = JSON.stringify([
        ...[item.path, item.reason, item.removedAtMs, item.expiresAtMs],
        ...[kind, files, bytes],
      ]);
      const found = left.get(key);
      // Of two that look alike from outside, either would do only if they hold the same.
      if (found?.length === 1) matched.set(item, (found[0] as TrashedEntry).id);
      expect(found, `${key} in the trash (${hint})`).toBeDefined();
    }
    expect(items, hint).toHaveLength(this.#model.items.size);
    const { files, directories, bytes } = usageOf(this.#model.root);
    expect(await repository.usageOf(path('/')), hint).toEqual({
      kind: 'directory',
      files,
      directories,
      bytes,
    });
    // Of directories that are being collected, the trash's own number is seconds late.
    if ((await repository.collectTrash({ nowMs: clock.now(), limit: 1_000 })).isDone) {
      while ((await repository.foldSizes(100)) > 0);
      const counts = await repository.counts();
      expect([counts.files, counts.directories, counts.logicalBytes], hint).toEqual([
        ...[files, directories, bytes],
      ]);
    }
    return matched;
  }

  #run(operation: TreeOperation, ids: ReadonlyMap<ModelItem, EntryId>): Promise<unknown> {
    const { repository, clock } = this.#harness;
    const trash =
      'keep' in operation && operation.keep ? { trashUntilMs: clock.now() + ttlMs } : {};
    switch (operation.kind) {
      case 'put':
        return repository.bindFiles([
          bindRequest(operation.path, { content: 'x'.repeat(operation.size), ...trash }),
        ]);
      case 'make':
        return repository.makeDirectory(path(operation.path));
      case 'move':
        return repository.moveEntry({
          from: path(operation.from),
          to: path(operation.to),
          overwrite: operation.overwrite,
          ...trash,
        });
      case 'remove':
        return repository.removeEntry(path(operation.path), {
          ...(operation.expect === undefined ? {} : { expect: operation.expect }),
          ...trash,
        });
      case 'restore':
        return repository.restoreTrashed(ids.get(operation.item) as EntryId, {
          onConflict: operation.replace ? 'replace' : 'fail',
          ...(operation.to === undefined ? {} : { to: path(operation.to) }),
          ...trash,
        });
    }
  }

  #expect(operation: TreeOperation): string {
    try {
      this.#model.apply(operation, this.#harness.clock.now());
      return 'done';
    } catch (error) {
      return kindOf(error);
    }
  }

  /** `left`: items that nobody brings back yet; removed again, one would have the same id, which the model does not know. */
  #operation(left: ModelItem[]): TreeOperation {
    const keep = this.#random() < 0.6;
    const chance = this.#random();
    if (chance < 0.3) {
      this.#sizes += 1;
      return { kind: 'put', path: this.#path(), size: this.#sizes, keep };
    }
    if (chance < 0.4) return { kind: 'make', path: this.#path() };
    if (chance < 0.7) {
      const overwrite = this.#random() < 0.6;
      return { kind: 'move', from: this.#path(), to: this.#path(), overwrite, keep };
    }
    if (chance < 0.85 || left.length === 0) {
      const expected = this.#pick([undefined, undefined, 'file', 'empty-directory'] as const);
      const rest = expected === undefined ? {} : { expect: expected };
      return { kind: 'remove', path: this.#path(), keep, ...rest };
    }
    const [item] = left.splice(this.#below(left.length), 1) as [ModelItem];
    const to = this.#random() < 0.3 ? { to: this.#path() } : {};
    return { kind: 'restore', item, replace: this.#random() < 0.5, keep, ...to };
  }

  async #paths(): Promise<[string, number | 'directory'][]> {
    const found: [string, number | 'directory'][] = [];
    for await (const page of this.#harness.repository.walkTree(path('/'))) {
      for (const entry of page) found.push([entry.path, entry.file?.sizeBytes ?? 'directory']);
    }
    return found;
  }

  /** Few names, so that they meet. */
  #path(): string {
    const depth = this.#random() < 0.02 ? 0 : 1 + this.#below(4);
    const names = Array.from({ length: depth }, () => this.#pick(['a', 'b', 'c']));
    return `/${names.join('/')}`;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[this.#below(items.length)] as Item;
  }
}

function kindOf(error: unknown): string {
  if (error instanceof Refused) return error.kind;
  if (error instanceof StoreError && error.kind !== 'internal') return error.kind;
  throw error;
}

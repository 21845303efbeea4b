import { type BlobId, newFileId, StoreError } from '@dfs/shared';
import { seededRandom } from '@dfs/shared/testing';
import { expect, it } from 'vitest';
import type { BindRequest } from '../metadata-repository.ts';
import { expectNoContradictions } from './invariants.ts';
import {
  attempt,
  bindRequest,
  listed,
  nodeA,
  nodeB,
  nodeC,
  nodeD,
  onNewDatabase,
  path,
} from './metadata-fixtures.ts';
import type { MetadataHarness, OpenMetadata } from './metadata-harness.ts';

const nodes = [nodeA, nodeB, nodeC, nodeD];
const rounds = 40;
const operationsPerRound = 24;

/** All kinds of writes at once, at random: whatever is refused, the tables never contradict each other. */
export function describeRandomWrites(open: OpenMetadata): void {
  it(
    'keeps its tables free of contradictions under any mixture of writes',
    onNewDatabase(open, async (harness) => {
      const seed = Math.floor(Math.random() * 2 ** 31);
      const writes = new RandomWrites(harness, seededRandom(seed));
      for (let round = 0; round < rounds; round += 1) {
        await Promise.all(Array.from({ length: operationsPerRound }, () => writes.one()));
        harness.clock.advance(7);
        if (round % 10 === 9) await expectNoContradictions(harness, `seed ${seed}, round ${round}`);
      }
      // What is read from memory is what is on disk.
      const remembered = await writes.seen();
      await harness.reopen();
      expect(await writes.seen(), `seed ${seed}`).toEqual(remembered);
    }),
  );
}

export class RandomWrites {
  readonly #harness: MetadataHarness;
  readonly #random: () => number;
  readonly #requests: BindRequest[] = [];

  constructor(harness: MetadataHarness, random: () => number) {
    this.#harness = harness;
    this.#random = random;
  }

  /** One write; a refusal is as good as a success. */
  async one(): Promise<void> {
    const { repository, clock } = this.#harness;
    const now = clock.now();
    const blobId = this.#blob();
    const nodeId = this.#pick(nodes);
    const kinds: (() => Promise<unknown>)[] = [
      () => this.#bind(),
      () => this.#bind(),
      () => this.#bind(),
      () => this.#bindCopy(),
      () => repository.removeEntry(this.#path(), this.#trash()),
      () => repository.makeDirectory(this.#path()),
      () =>
        repository.moveEntry({
          from: this.#path(),
          to: this.#path(),
          overwrite: this.#random() < 0.5,
          ...this.#trash(),
        }),
      () => this.#restore(),
      () => repository.emptyTrash({ path: this.#path() }),
      () => repository.expireOldestTrash(2),
      () => repository.collectTrash({ nowMs: now, limit: 6 }),
      () => repository.foldSizes(4),
      () => repository.recordReplications(this.#attempts(), () => now + 5),
      () =>
        repository.recordDamage(
          nodeId,
          [{ blobId, kind: this.#pick(['corrupt', 'missing']), detail: '' }],
          now,
        ),
      () =>
        repository.changeCopies(
          [{ kind: this.#pick(['want', 'unwant', 'promote']), blobId, nodeId }],
          now,
        ),
      () =>
        repository.changeCopies(
          [{ kind: 'drop-surplus', blobId, nodeId, confirmedNodes: nodes }],
          now,
        ),
      () =>
        repository.releaseUnreferenced({
          beforeMs: now,
          nowMs: now,
          held: new Set([blobId]),
          limit: 5,
        }),
      () => repository.renewUploads([blobId], now + 10),
      () => this.#confirmDrops(),
      () => this.#compare(),
    ];
    await this.#pick(kinds)().catch((error: unknown) => {
      if (!(error instanceof StoreError) || error.kind === 'internal') throw error;
    });
  }

  /** What can be found of all that was written. */
  async seen(): Promise<unknown> {
    const { repository } = this.#harness;
    const ids = this.#requests.flatMap((request) => request.blobs.map((blob) => blob.blobId));
    const paths = new Set(this.#requests.map((request) => request.path));
    const found = [...paths].map(async (at) => [
      at,
      await repository.findEntry(at),
      await repository.findFile(at).catch(() => 'a directory'),
    ]);
    const replicas = [...(await repository.replicasOf(ids))].map(([id, copies]) => [
      id,
      [...copies].sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1)),
    ]);
    return { found: await Promise.all(found), replicas: new Map(replicas as [BlobId, unknown][]) };
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.#random() * items.length)] as Item;
  }

  /** Few names, so that they meet; some are parents of others. */
  #path() {
    const names = ['a', 'b', 'c.txt'];
    const depth = 1 + Math.floor(this.#random() * 3);
    return path(Array.from({ length: depth }, () => `/${this.#pick(names)}`).join(''));
  }

  /** Of those that may still be bound. */
  #recent(): BindRequest | undefined {
    return this.#pick(this.#requests.slice(-20));
  }

  #blob(): BlobId {
    const request = this.#recent() ?? bindRequest('/none');
    return request.blobs[0]?.blobId as BlobId;
  }

  #bind(): Promise<unknown> {
    const copies = 1 + Math.floor(this.#random() * 3);
    const requests = Array.from({ length: 1 + Math.floor(this.#random() * 2) }, () =>
      bindRequest(this.#path(), {
        content: 'x',
        nodes: nodes.slice(0, copies),
        copiesWanted: 1 + Math.floor(this.#random() * 3),
        onConflict: this.#pick(['replace', 'rename', 'fail']),
        ...this.#trash(),
      }),
    );
    this.#requests.push(...requests);
    return this.#harness.repository.bindFiles(requests);
  }

  /** Another file with the blobs of one that was bound, or that was to be. */
  #bindCopy(): Promise<unknown> {
    const request = this.#recent();
    if (!request) return Promise.resolve();
    const id = this.#random() < 0.5 ? request.file.id : newFileId();
    const file = { ...request.file, id };
    return this.#harness.repository.bindFiles([{ ...request, file, path: this.#path() }]);
  }

  #trash() {
    const nowMs = this.#harness.clock.now();
    return this.#random() < 0.5 ? {} : { trashUntilMs: nowMs + 20 };
  }

  async #restore(): Promise<void> {
    const { repository, clock } = this.#harness;
    const { items } = await repository.listTrash({ nowMs: clock.now(), limit: 5 });
    if (items.length === 0) return;
    await repository.restoreTrashed(this.#pick(items).id, {
      onConflict: this.#pick(['fail', 'rename', 'replace']),
      ...(this.#random() < 0.5 ? {} : { to: this.#path() }),
      ...this.#trash(),
    });
  }

  #attempts() {
    return Array.from({ length: 3 }, () =>
      attempt(this.#blob(), this.#pick(nodes), {
        outcome: this.#pick(['stored', 'stored', 'failed']),
        source: this.#pick(nodes),
        ...(this.#random() < 0.2
          ? { sourceIsBad: this.#pick(['missing', 'corrupt'] as const) }
          : {}),
      }),
    );
  }

  async #confirmDrops(): Promise<void> {
    const { repository, clock } = this.#harness;
    const drops = await repository.dueDrops({ nowMs: clock.now(), nodes, limit: 3 });
    await repository.confirmDropped(drops, clock.now());
  }

  async #compare(): Promise<void> {
    const { repository, clock } = this.#harness;
    const blobs = Array.from({ length: 4 }, () => listed(repository, this.#blob(), 'x'));
    await repository.compareInventory({
      nodeId: this.#pick(nodes),
      blobs,
      damaged: [this.#blob()],
      askedAtMs: clock.now(),
      abortedBeforeMs: clock.now(),
      inUpload: new Set([this.#blob()]),
    });
  }
}

import { type BlobId, inventoryKeyOf, newBlobId, newClusterId, type StoredBlob } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import type { InventoryComparison } from '../metadata-repository.ts';
import {
  attempt,
  bindBlob,
  bindRequest,
  copiesOf,
  listed,
  nodeA,
  nodeB,
  onNewDatabase,
  path,
} from './metadata-fixtures.ts';
import type { MetadataHarness, OpenMetadata } from './metadata-harness.ts';

const nothing = { found: 0, missing: 0, damaged: 0, aborted: 0, quarantined: 0 };
const two = [nodeA, nodeB];

/** A node's inventory against the rows. */
export function describeInventories(open: OpenMetadata): void {
  const test = (work: (harness: MetadataHarness) => Promise<void>) => onNewDatabase(open, work);

  it(
    'counts what a node holds, wants anew what it lacks, and marks what is damaged',
    test(async ({ repository, clock }) => {
      const [held, wanted, missing, bad, odd] = await bindAll(repository, 5);
      await repository.recordReplications(
        [held, missing, bad, odd].map((id) => attempt(id, nodeB)),
        () => 0,
      );
      clock.advance(1);
      const page = {
        blobs: [
          listed(repository, held, '0'),
          listed(repository, wanted, '1'),
          listed(repository, odd, 'another content'),
        ],
        damaged: [bad],
      };
      const findings = await repository.compareInventory(comparison(clock.now(), page));
      expect(findings).toEqual({ ...nothing, found: 1, missing: 1, damaged: 2 });
      expect(await copiesOf(repository, held)).toBe('A:stored* B:stored');
      expect(await copiesOf(repository, wanted)).toBe('A:stored* B:stored');
      expect(await copiesOf(repository, missing)).toBe('A:stored* B:wanted');
      expect(await copiesOf(repository, bad)).toBe('A:stored* B:corrupt');
      expect(await copiesOf(repository, odd)).toBe('A:stored* B:corrupt');
      const log = await repository.listLog({ path: path('/2') });
      expect(log.map((row) => [row.target, row.outcome])).toEqual([
        [nodeB, 'stored'],
        [nodeB, 'missing'],
      ]);
      expect(await repository.compareInventory(comparison(clock.now(), page))).toEqual(nothing);
    }),
  );

  it(
    'changes nothing when the clock was set back since the page was asked for',
    test(async ({ repository, clock }) => {
      const [blobId] = await bindAll(repository, 1);
      await repository.recordReplications([attempt(blobId, nodeB)], () => 0);
      clock.advance(1_000);
      const page = { ...comparison(clock.now(), { blobs: [], damaged: [] }) };
      expect(await repository.compareInventory({ ...page, isClockSteady: () => false })).toEqual(
        nothing,
      );
      expect(await copiesOf(repository, blobId)).toBe('A:stored* B:stored');
      expect(
        await repository.compareInventory({ ...page, isClockSteady: () => true }),
      ).toMatchObject({ missing: 1 });
    }),
  );

  it(
    'leaves alone what changed after the page was asked for',
    test(async ({ repository, clock }) => {
      const [stored, wanted] = await bindAll(repository, 2);
      const askedAtMs = clock.now();
      await repository.recordReplications([attempt(stored, nodeB)], () => 0);
      const page = { blobs: [listed(repository, wanted, '1')] };
      expect(await repository.compareInventory(comparison(askedAtMs, page))).toEqual(nothing);
      clock.advance(5);
      expect(await repository.compareInventory(comparison(askedAtMs, page))).toEqual(nothing);
      expect(await copiesOf(repository, stored)).toBe('A:stored* B:stored');
    }),
  );

  it(
    'judges nothing outside the keys that the page covers',
    test(async ({ repository, clock }) => {
      const ids = await bindAll(repository, 30);
      await repository.recordReplications(
        ids.map((id) => attempt(id, nodeB)),
        () => 0,
      );
      clock.advance(1);
      const keys = ids.map(inventoryKeyOf).sort();
      const [afterKey, throughKey] = [keys[9] as string, keys[19] as string];
      const findings = await repository.compareInventory({
        ...comparison(clock.now(), {}),
        afterKey,
        throughKey,
      });
      expect(findings).toEqual({ ...nothing, missing: 10 });
      for (const id of ids) {
        const key = inventoryKeyOf(id);
        const isCovered = key > afterKey && key <= throughKey;
        expect(await copiesOf(repository, id)).toBe(
          `A:stored* B:${isCovered ? 'wanted' : 'stored'}`,
        );
      }
    }),
  );

  it(
    'takes a node that lost its disk, and one page of more than a transaction holds',
    test(async ({ repository, clock }) => {
      const requests = Array.from({ length: 2_500 }, (_, n) =>
        bindRequest(`/${n}`, { content: 'x', nodes: two }),
      );
      for (let at = 0; at < requests.length; at += 500) {
        await repository.bindFiles(requests.slice(at, at + 500));
      }
      clock.advance(1);
      const blobs = requests.map((request) =>
        listed(repository, request.file.id as string as BlobId, 'x'),
      );
      const all = { blobs: blobs.sort((a, b) => (key(a) < key(b) ? -1 : 1)) };
      const found = await repository.compareInventory(comparison(clock.now(), all));
      expect(found).toEqual({ ...nothing, found: 2_500 });
      clock.advance(1);
      const lost = await repository.compareInventory(comparison(clock.now(), {}));
      expect(lost).toEqual({ ...nothing, missing: 2_500 });
      expect((await repository.counts()).replicas).toMatchObject({ stored: 2_500, wanted: 2_500 });
    }),
  );

  describe('blobs that no row speaks of', () => {
    it(
      'of this epoch and old are aborted uploads: they are dropped, and cannot be bound any more',
      test(async ({ repository, clock }) => {
        const blobId = newBlobId();
        const blob = listed(repository, blobId, 'x', { storedAtMs: 999 });
        const page = { ...comparison(clock.now(), { blobs: [blob] }), abortedBeforeMs: 1_000 };
        expect(await repository.compareInventory(page)).toEqual({ ...nothing, aborted: 1 });
        expect(await copiesOf(repository, blobId)).toBe('B:dropping');
        expect(await repository.counts()).toMatchObject({ blobsShort: 0, blobsWithoutCopy: 0 });
        const late = repository.bindFiles([bindRequest('/late', { blobId, content: 'x' })]);
        await expect(late).rejects.toMatchObject({ kind: 'conflict' });
        const due = await repository.dueDrops({ nowMs: clock.now(), nodes: [nodeB], limit: 9 });
        expect(due).toMatchObject([{ blobId, nodeId: nodeB, state: 'dropping' }]);
        await repository.confirmDropped(due, clock.now());
        expect((await repository.replicasOf([blobId])).size).toBe(0);
      }),
    );

    it(
      'are left alone when they are young, or uploaded by this process or by one that said so',
      test(async ({ repository, clock }) => {
        const [young, here, there, ended] = [1, 2, 3, 4].map(() => newBlobId()) as [
          BlobId,
          BlobId,
          BlobId,
          BlobId,
        ];
        await repository.renewUploads([there], clock.now() + 60_000);
        await repository.renewUploads([ended], clock.now() + 60_000);
        await repository.endUploads([ended]);
        const at = (blobId: BlobId, storedAtMs = 0) =>
          listed(repository, blobId, 'x', { storedAtMs });
        const page = {
          ...comparison(clock.now(), { blobs: [at(young, 1_000), at(here), at(there), at(ended)] }),
          abortedBeforeMs: 1_000,
          inUpload: new Set([here]),
        };
        expect(await repository.compareInventory(page)).toEqual({ ...nothing, aborted: 1 });
        expect((await repository.replicasOf([young, here, there])).size).toBe(0);
        clock.advance(60_001);
        const after = { ...page, askedAtMs: clock.now(), inUpload: new Set<BlobId>() };
        expect(await repository.compareInventory(after)).toEqual({ ...nothing, aborted: 2 });
      }),
    );

    it(
      'of another epoch or cluster, or without a readable description, are left alone',
      test(async ({ repository, clock }) => {
        const blobs = [
          listed(repository, newBlobId(), 'x', { epoch: 0 }),
          listed(repository, newBlobId(), 'x', { clusterId: newClusterId() }),
        ];
        const page = comparison(clock.now(), { blobs, damaged: [newBlobId()] });
        const findings = await repository.compareInventory({ ...page, abortedBeforeMs: 1e15 });
        expect(findings).toEqual({ ...nothing, quarantined: 3 });
        expect((await repository.replicasOf(blobs.map((blob) => blob.blobId))).size).toBe(0);
      }),
    );

    it(
      'are copies of a known blob: they count, unless their row went after the page was asked for',
      test(async ({ repository, clock }) => {
        const [known] = await bindAll(repository, 1);
        const page = { blobs: [listed(repository, known, '0')] };
        const unwant = { kind: 'unwant' as const, blobId: known, nodeId: nodeB };
        await repository.changeCopies([unwant], clock.now());
        expect(await repository.compareInventory(comparison(clock.now(), page))).toEqual(nothing);
        clock.advance(1);
        const findings = await repository.compareInventory(comparison(clock.now(), page));
        expect(findings).toEqual({ ...nothing, found: 1 });
        expect(await copiesOf(repository, known)).toBe('A:stored* B:stored');
      }),
    );

    it(
      'are copies of a known blob also when an earlier epoch stored them: they count after a restore, unless they are other bytes or another cluster’s',
      test(async ({ repository, clock }) => {
        const [known, other, foreign] = await bindAll(repository, 3);
        const unwanted = [known, other, foreign].map((blobId) => {
          return { kind: 'unwant' as const, blobId, nodeId: nodeB };
        });
        await repository.changeCopies(unwanted, clock.now());
        clock.advance(1);
        const blobs = [
          listed(repository, known, '0', { epoch: 0 }),
          listed(repository, other, 'x', { epoch: 0 }),
          listed(repository, foreign, '2', { clusterId: newClusterId() }),
        ];
        const findings = await repository.compareInventory(comparison(clock.now(), { blobs }));
        expect(findings).toEqual({ ...nothing, found: 1, quarantined: 2 });
        expect(await copiesOf(repository, known)).toBe('A:stored* B:stored');
        expect(await copiesOf(repository, other)).toBe('A:stored*');
        expect(await copiesOf(repository, foreign)).toBe('A:stored*');
      }),
    );

    it(
      'are dropped with the other copies of a blob that was given up',
      test(async ({ repository, clock }) => {
        const blobId = await bindBlob(repository, '/f', { content: 'x' });
        await repository.removeEntry(path('/f'));
        clock.advance(1);
        const now = clock.now();
        const query = { beforeMs: now, nowMs: now, held: new Set<never>(), limit: 9 };
        await repository.releaseUnreferenced(query);
        const page = { blobs: [listed(repository, blobId, 'x')] };
        const findings = await repository.compareInventory(comparison(clock.now(), page));
        expect(findings).toEqual({ ...nothing, aborted: 1 });
        expect(await copiesOf(repository, blobId)).toBe('A:dropping* B:dropping');
      }),
    );
  });
}

const key = (blob: StoredBlob) => inventoryKeyOf(blob.blobId);

/** Files `/0`, `/1`, … with their number as content, stored on A, wanted on B. */
async function bindAll(
  repository: MetadataHarness['repository'],
  count: number,
): Promise<[BlobId, BlobId, BlobId, BlobId, BlobId]> {
  const ids: BlobId[] = [];
  for (let n = 0; n < count; n += 1) {
    ids.push(await bindBlob(repository, `/${n}`, { content: `${n}`, nodes: two }));
  }
  return ids as [BlobId, BlobId, BlobId, BlobId, BlobId];
}

const comparison = (
  askedAtMs: number,
  page: { blobs?: readonly StoredBlob[]; damaged?: readonly BlobId[] },
): InventoryComparison => ({
  nodeId: nodeB,
  blobs: [],
  damaged: [],
  ...page,
  askedAtMs,
  abortedBeforeMs: askedAtMs,
  inUpload: new Set(),
});

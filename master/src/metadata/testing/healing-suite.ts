import { type BlobId, newBlobId } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import { expectNoContradictions } from './invariants.ts';
import {
  attempt,
  bindBlob,
  bindRequest,
  copiesOf,
  nodeA,
  nodeB,
  nodeC,
  nodeD,
  onNewDatabase,
  path,
} from './metadata-fixtures.ts';
import type { OpenMetadata } from './metadata-harness.ts';

const none = new Set<never>();
const noRetry = () => 0;

/** The order in which copies are made again, what is missing, and nodes that leave for good. */
export function describeHealing(open: OpenMetadata): void {
  const test = (run: Parameters<typeof onNewDatabase>[1]) => onNewDatabase(open, run);

  describe('copies to be made', () => {
    it(
      'are due in the order of how few copies of their blob are stored, then of time',
      test(async (harness) => {
        const { repository, clock } = harness;
        const blobs: BlobId[] = [];
        for (const name of ['/safe', '/old', '/young', '/lone']) {
          const nodes = [nodeA, nodeB, nodeC, nodeD];
          blobs.push(await bindBlob(repository, name, { nodes, content: name }));
          clock.advance(10);
        }
        const [safe, old, young, lone] = blobs as [BlobId, BlobId, BlobId, BlobId];
        await repository.recordReplications(
          [attempt(safe, nodeB), attempt(safe, nodeC), attempt(old, nodeB), attempt(young, nodeB)],
          noRetry,
        );
        const gone = [{ blobId: lone, kind: 'corrupt' as const, detail: '' }];
        await repository.recordDamage(nodeA, gone, clock.now());
        clock.advance(10);
        const query = { nowMs: clock.now(), targets: [nodeD], limit: 9, except: none };
        const due = async (limit = 9) => {
          const rows = await repository.dueReplications({ ...query, limit });
          return rows.map(({ blob }) => blob.path);
        };
        expect(await due()).toEqual(['/lone', '/old', '/young', '/safe']);
        expect(await due(2)).toEqual(['/lone', '/old']);
        // A copy more of the first: it waits behind the others now.
        await repository.recordReplications(
          [attempt(old, nodeC), attempt(young, nodeC, { outcome: 'failed' })],
          () => clock.now(),
        );
        expect(await due()).toEqual(['/lone', '/young', '/safe', '/old']);
        await expectNoContradictions(harness, 'after attempts');
      }),
    );

    it(
      'do not count copies on lost nodes, once rows written before were looked at again',
      test(async (harness) => {
        const { repository, clock } = harness;
        const three = { nodes: [nodeA, nodeB, nodeC] };
        const first = await bindBlob(repository, '/first', three);
        clock.advance(1);
        const second = await bindBlob(repository, '/second', { nodes: [nodeD, nodeB, nodeC] });
        await repository.recordReplications([attempt(first, nodeB)], noRetry);
        const due = async () => {
          const query = { nowMs: clock.now(), targets: [nodeC], limit: 9, except: none };
          const rows = await repository.dueReplications(query);
          return rows.map(({ blob }) => [
            blob.path,
            blob.replicas.find(({ nodeId }) => nodeId === nodeC)?.livingCopies,
          ]);
        };
        expect(await due()).toEqual([
          ['/second', 1],
          ['/first', 2],
        ]);
        repository.noteLostNodes(new Set([nodeA, nodeB]));
        const ranks = [first, second].map((blobId) => ({ kind: 'rank' as const, blobId }));
        await repository.changeCopies(ranks, clock.now());
        expect(await due()).toEqual([
          ['/first', 0],
          ['/second', 1],
        ]);
        repository.noteLostNodes(none);
        await repository.changeCopies(ranks, clock.now());
        await expectNoContradictions(harness, 'after the nodes came back');
      }),
    );

    it(
      'are counted in bytes: those with a row and those for which there is no node',
      test(async (harness) => {
        const { repository, clock } = harness;
        const missing = async () => (await repository.counts()).missingBytes;
        const options = { nodes: [nodeA, nodeB], copiesWanted: 4, content: 'x'.repeat(100) };
        const blobId = await bindBlob(repository, '/f', options);
        expect(await missing()).toBe(300);
        await repository.recordReplications([attempt(blobId, nodeB)], noRetry);
        expect(await missing()).toBe(200);
        const want = { kind: 'want' as const, blobId, nodeId: nodeC };
        await repository.changeCopies([want], clock.now());
        expect(await missing()).toBe(200);
        const bad = [{ blobId, kind: 'corrupt' as const, detail: '' }];
        await repository.recordDamage(nodeA, bad, clock.now());
        expect(await missing()).toBe(300);
        await repository.removeEntry(path('/f'));
        // What nothing refers to is not made for want of nodes any more.
        expect(await missing()).toBe(200);
        await expectNoContradictions(harness, 'after the removal');
      }),
    );
  });

  it(
    'takes over a database of an earlier version: its order and its missing bytes are right',
    test(async (harness) => {
      const { repository, rows, reopen } = harness;
      const blobId = await bindBlob(repository, '/a', { nodes: [nodeA, nodeB, nodeC] });
      await repository.recordReplications([attempt(blobId, nodeB)], noRetry);
      await bindBlob(repository, '/b', { nodes: [nodeA, nodeB], copiesWanted: 3 });
      await repository.close();
      await rows('drop index replicas_due');
      await rows('alter table replicas drop column living_copies');
      await rows(`create index replicas_due on replicas (state, node_id, next_attempt_at)
        where state <> 'stored'`);
      await rows('alter table totals drop column missing_bytes');
      await rows("delete from knex_migrations where name = '004-healing'");
      await reopen();
      await expectNoContradictions(harness, 'after the migration');
    }),
  );

  describe('a node that leaves for good', () => {
    it(
      'is known to hold the last copy of something, whatever other nodes are left out',
      test(async ({ repository }) => {
        const lone = await bindBlob(repository, '/lone', { content: 'x'.repeat(7) });
        const both = await bindBlob(repository, '/both', { nodes: [nodeA, nodeB] });
        await repository.recordReplications([attempt(both, nodeB)], noRetry);
        expect(await repository.lastCopiesOn([nodeA], [nodeB, nodeC])).toEqual({
          blobs: 1,
          bytes: 7,
        });
        expect((await repository.lastCopiesOn([nodeA], [])).blobs).toBe(2);
        expect((await repository.lastCopiesOn([nodeB], [nodeA])).blobs).toBe(0);
        expect((await repository.lastCopiesOn([nodeA, nodeB], [nodeC])).blobs).toBe(2);
        expect((await repository.lastCopiesOn([], [])).blobs).toBe(0);
        // What is to be made elsewhere, or is there, does not have to move any more.
        expect(await repository.copiesToMove([nodeA])).toMatchObject({ copies: 2 });
        const want = { kind: 'want', blobId: lone, nodeId: nodeC } as const;
        expect(await repository.changeCopies([want], 0)).toBe(1);
        expect(await repository.copiesToMove([nodeA])).toMatchObject({ copies: 1 });
        await repository.changeCopies([{ ...want, kind: 'unwant' }], 0);
        expect(await repository.copiesToMove([])).toEqual({ copies: 0, bytes: 0 });
        await repository.removeEntry(path('/lone'));
        expect((await repository.lastCopiesOn([nodeA], [nodeB])).blobs).toBe(0);
        expect(await repository.copiesOn(nodeA)).toBe(2);
        expect(await copiesOf(repository, lone)).toBe('A:stored*');
      }),
    );

    it(
      'leaves in parts: its rows go, what is missing then is known, and nothing waits for it',
      test(async (harness) => {
        const { repository, clock } = harness;
        for (let n = 0; n < 5; n += 1) {
          await bindBlob(repository, `/${n}`, { nodes: [nodeA, nodeB] });
        }
        const wanted = await bindBlob(repository, '/wanted', { nodes: [nodeB, nodeA] });
        const deleted = await bindBlob(repository, '/deleted');
        await repository.removeEntry(path('/deleted'));
        clock.advance(1);
        const now = clock.now();
        await repository.releaseUnreferenced({ beforeMs: now, nowMs: now, held: none, limit: 9 });
        const gone: number[] = [];
        do gone.push(await repository.forgetCopiesOn(nodeA, 3));
        while (gone.at(-1) !== 0);
        expect(gone).toEqual([3, 3, 1, 0]);
        expect(await repository.copiesOn(nodeA)).toBe(0);
        expect(await copiesOf(repository, wanted)).toBe('B:stored*');
        expect((await repository.replicasOf([deleted])).size).toBe(0);
        expect(await repository.counts()).toMatchObject({ blobsShort: 6, blobsWithoutCopy: 5 });
        await expectNoContradictions(harness, 'after the node left');
        // An upload that was placed before may still name it; that copy is forgotten as well.
        await repository.bindFiles([bindRequest('/late', { blobId: newBlobId() })]);
        expect(await repository.forgetCopiesOn(nodeA, 3)).toBe(1);
      }),
    );
  });
}

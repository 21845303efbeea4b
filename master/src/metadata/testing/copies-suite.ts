import { type BlobId, inventoryKeyOf, jobIdOf, newBlobId } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import type { BlobCopies } from '../metadata-repository.ts';
import {
  attempt,
  bind,
  bindBlob,
  bindRequest,
  copiesOf,
  kindOf,
  newDirectory,
  nodeA,
  nodeB,
  nodeC,
  nodeD,
  onNewDatabase,
  path,
  sharedHarness,
  statesOf,
} from './metadata-fixtures.ts';
import type { OpenMetadata } from './metadata-harness.ts';

const later = (ms: number) => () => Date.UTC(2030, 0, 1) + ms;
const [three, two] = [
  [nodeA, nodeB, nodeC],
  [nodeA, nodeB],
];

/** Rows of copies: attempts, damage, due work, changes. */
export function describeCopies(open: OpenMetadata): void {
  const harness = sharedHarness(open);

  describe('outcomes of attempts', () => {
    it('make a wanted copy stored, also for one who read it before', async () => {
      const { repository, reopen } = harness();
      const blobId = await bindBlob(repository, `${newDirectory()}/f`, { nodes: three });
      expect(await copiesOf(repository, blobId)).toBe('A:stored* B:wanted C:wanted');
      await repository.recordReplications([attempt(blobId, nodeB)], later(0));
      expect(await copiesOf(repository, blobId)).toBe('A:stored* B:stored C:wanted');
      expect(await copiesOf(await reopen(), blobId)).toBe('A:stored* B:stored C:wanted');
    });

    it('count failures and set the next attempt by them', async () => {
      const { repository, clock } = harness();
      const blobId = await bindBlob(repository, `${newDirectory()}/f`, { nodes: two });
      const asked: number[] = [];
      const failure = attempt(blobId, nodeB, {
        outcome: 'failed',
        errorCode: 'ECONNRESET',
        message: 'reset',
      });
      const retryAtMs = (_: unknown, attempts: number) => {
        asked.push(attempts);
        return clock.now() + 1_000 * attempts;
      };
      await repository.recordReplications([failure, failure], retryAtMs);
      expect(asked.slice(-2)).toEqual([1, 2]);
      const replicas = (await repository.replicasOf([blobId])).get(blobId);
      expect(replicas?.find((replica) => replica.nodeId === nodeB)).toEqual({
        blobId,
        nodeId: nodeB,
        role: 'replica',
        state: 'wanted',
        attempts: 2,
        lastError: 'ECONNRESET: reset',
      });
      const due = async (nowMs: number) =>
        (
          await repository.dueReplications({
            nowMs,
            targets: [nodeB],
            limit: 99,
            except: new Set(),
          })
        ).some(({ blob }) => blob.blobId === blobId);
      expect(await due(clock.now() + 1_999)).toBe(false);
      expect(await due(clock.now() + 2_000)).toBe(true);
      await repository.recordReplications([attempt(blobId, nodeB)], later(0));
      const after = (await repository.replicasOf([blobId])).get(blobId);
      expect(after?.find((replica) => replica.nodeId === nodeB)).toMatchObject({ attempts: 0 });
    });

    it('change nothing where the row is gone, dropping, or stored already', async () => {
      const { repository, clock } = harness();
      const directory = newDirectory();
      const blobId = await bindBlob(repository, `${directory}/f`, { nodes: two });
      await repository.recordReplications([attempt(blobId, nodeC)], later(0));
      expect(await copiesOf(repository, blobId)).toBe('A:stored* B:wanted');
      await repository.recordReplications(
        [attempt(blobId, nodeB), attempt(blobId, nodeB, { outcome: 'failed' })],
        later(0),
      );
      expect(await copiesOf(repository, blobId)).toBe('A:stored* B:stored');
      await repository.removeEntry(path(`${directory}/f`));
      clock.advance(1);
      const query = { beforeMs: clock.now(), nowMs: clock.now(), held: new Set<never>(), limit: 9 };
      await repository.releaseUnreferenced(query);
      await repository.recordReplications([attempt(blobId, nodeB)], later(0));
      expect(await copiesOf(repository, blobId)).toBe('A:dropping* B:dropping');
      await repository.recordReplications([attempt(newBlobId(), nodeB)], later(0));
    });

    it.each([
      ['missing', 'A:wanted B:stored*'],
      ['corrupt', 'A:corrupt B:stored*'],
    ] as const)(
      'look at a source that has it %s, and move the primary role',
      async (kind, after) => {
        const { repository } = harness();
        const blobId = await bindBlob(repository, `${newDirectory()}/f`, { nodes: three });
        await repository.recordReplications([attempt(blobId, nodeB)], later(0));
        await repository.recordReplications(
          [
            attempt(blobId, nodeC, {
              outcome: 'failed',
              sourceIsBad: kind,
              errorCode: 'not-found',
            }),
          ],
          later(1e9),
        );
        expect(await copiesOf(repository, blobId)).toBe(`${after} C:wanted`);
      },
    );

    it('are logged one by one, under the path of the name that holds the blob', async () => {
      const { repository } = harness();
      const at = path(`${newDirectory()}/sub/f`);
      const blobId = await bindBlob(repository, at, { nodes: two });
      const failure = {
        outcome: 'failed',
        errorCode: 'unavailable',
        message: `bad \0 and half a pair \uD83D${'x'.repeat(5_000)}`,
        durationMs: 1.6,
      } as const;
      await repository.recordReplications(
        [attempt(blobId, nodeB, failure), attempt(blobId, nodeB)],
        later(0),
      );
      const log = await repository.listLog({ path: at });
      expect(log).toMatchObject([
        { blobId, path: at, source: nodeA, target: nodeB, outcome: 'failed', durationMs: 2 },
        { blobId, path: at, source: nodeA, target: nodeB, outcome: 'stored', durationMs: 12 },
      ]);
      expect(log[0]?.errorCode).toBe('unavailable');
      expect(log[0]?.message?.length).toBeLessThanOrEqual(1_000);
      expect(log[0]).toHaveProperty('startedAtMs', Date.UTC(2030, 0, 1));
    });
  });

  describe('damage', () => {
    it('makes stored copies due to be made anew, logs it once, and moves the primary role', async () => {
      const { repository, clock } = harness();
      const at = path(`${newDirectory()}/f`);
      const blobId = await bindBlob(repository, at, { nodes: three });
      await repository.recordReplications([attempt(blobId, nodeC)], later(0));
      const damage = { blobId, kind: 'corrupt' as const, detail: 'block 3' };
      for (const _ of [1, 2]) await repository.recordDamage(nodeA, [damage], clock.now());
      expect(await copiesOf(repository, blobId)).toBe('A:corrupt B:wanted C:stored*');
      const log = await repository.listLog({ path: at });
      expect(log.map((row) => row.outcome)).toEqual(['stored', 'corrupt']);
      expect(log[1]).toMatchObject({ target: nodeA, message: 'block 3' });
      const due = await repository.dueReplications({
        nowMs: clock.now(),
        targets: [nodeA],
        limit: 99,
        except: new Set(),
      });
      expect(due.map(({ blob }) => blob.blobId)).toContain(blobId);
      // It comes back as a replica: the role stays where it went.
      await repository.recordReplications([attempt(blobId, nodeA)], later(0));
      expect(await copiesOf(repository, blobId)).toBe('A:stored B:wanted C:stored*');
    });

    it('of the only copy leaves the primary role until another is stored', async () => {
      const { repository, clock } = harness();
      const blobId = await bindBlob(repository, `${newDirectory()}/f`, { nodes: two });
      const damage = { blobId, kind: 'missing' as const, detail: '' };
      await repository.recordDamage(nodeA, [damage], clock.now());
      expect(await copiesOf(repository, blobId)).toBe('A:wanted* B:wanted');
      await repository.recordReplications([attempt(blobId, nodeB)], later(0));
      expect(await copiesOf(repository, blobId)).toBe('A:wanted B:stored*');
    });

    it('of copies that are not there, wanted or unknown changes nothing', async () => {
      const { repository, clock } = harness();
      const blobId = await bindBlob(repository, `${newDirectory()}/f`, { nodes: two });
      const damages = [
        { blobId, kind: 'corrupt' as const, detail: '' },
        { blobId: newBlobId(), kind: 'missing' as const, detail: '' },
      ];
      await repository.recordDamage(nodeB, damages, clock.now());
      await repository.recordDamage(nodeD, damages, clock.now());
      expect(await copiesOf(repository, blobId)).toBe('A:stored* B:wanted');
    });
  });

  it(
    'gives due work oldest first, for these targets, without the excepted, with all rows of the blob',
    onNewDatabase(open, async ({ repository, clock }) => {
      const blobs: BlobId[] = [];
      for (let n = 0; n < 5; n += 1) {
        blobs.push(await bindBlob(repository, `/${n}`, { nodes: three }));
        clock.advance(10);
      }
      const query = { nowMs: clock.now(), targets: [nodeB], limit: 10, except: new Set<string>() };
      const ids = async (changes: Partial<typeof query>) =>
        (await repository.dueReplications({ ...query, ...changes })).map(({ blob }) =>
          blobs.indexOf(blob.blobId),
        );
      expect(await ids({})).toEqual([0, 1, 2, 3, 4]);
      expect(await ids({ limit: 2 })).toEqual([0, 1]);
      expect(await ids({ nowMs: clock.now() - 40 })).toEqual([0, 1]);
      expect(await ids({ targets: [nodeD] })).toEqual([]);
      expect(await ids({ targets: [] })).toEqual([]);
      const except = new Set(blobs.slice(0, 4).map((blobId) => jobIdOf({ blobId, target: nodeB })));
      expect(await ids({ limit: 2, except })).toEqual([4]);
      const both = await repository.dueReplications({ ...query, targets: [nodeC, nodeB] });
      expect(both).toHaveLength(10);
      expect(both[0]?.blob).toMatchObject({ blobId: blobs[0], path: '/0', copiesWanted: 3 });
      expect(both[0]?.blob.replicas).toHaveLength(3);
      // More targets than one query can join.
      const many = [...Array.from({ length: 250 }, () => newBlobId() as never), nodeB];
      expect(await ids({ targets: many })).toEqual([0, 1, 2, 3, 4]);
    }),
  );

  it(
    'knows the blobs with fewer rows of copies than wanted, in pages, until they have them',
    onNewDatabase(open, async ({ repository, clock }) => {
      const short: string[] = [];
      for (let n = 0; n < 5; n += 1) {
        short.push(await bindBlob(repository, `/${n}`, { nodes: two, copiesWanted: 3 }));
        await bindBlob(repository, `/enough-${n}`, { nodes: two });
      }
      const all = async () => {
        const blobs: BlobCopies[] = [];
        for (let after: string | undefined = ''; after !== undefined; ) {
          const page = await repository.blobsShortOfCopies({
            ...(after === '' ? {} : { after: after as never }),
            limit: 2,
          });
          expect(page.blobs.length).toBeLessThanOrEqual(2);
          blobs.push(...page.blobs);
          after = page.next;
        }
        return blobs.map((blob) => blob.blobId);
      };
      expect(await all()).toEqual([...short].sort());
      expect(await repository.counts()).toMatchObject({ blobsShort: 5 });
      const [first, second, third] = short as never[];
      const want = (blobId: never) => ({ kind: 'want' as const, blobId, nodeId: nodeC });
      const now = clock.now();
      expect(await repository.changeCopies([want(first as never), want(first as never)], now)).toBe(
        1,
      );
      await repository.removeEntry(path('/1'));
      expect(await all()).toEqual([...short].sort().filter((id) => id !== first && id !== second));
      // What no name holds wants nothing.
      expect(await repository.changeCopies([want(second as never)], now)).toBe(0);
      expect(await repository.counts()).toMatchObject({ blobsShort: 3 });
      await repository.changeCopies(
        [{ kind: 'unwant', blobId: third as never, nodeId: nodeB }],
        now,
      );
      expect((await repository.blobsShortOfCopies({ limit: 9 })).blobs).toHaveLength(3);
    }),
  );

  it(
    'lists the blobs of a node in the order of its inventory',
    onNewDatabase(open, async ({ repository }) => {
      const blobs = [];
      for (let n = 0; n < 20; n += 1) {
        blobs.push(await bindBlob(repository, `/${n}`, { nodes: n % 2 === 0 ? two : [nodeC] }));
      }
      const expected = blobs
        .filter((_, n) => n % 2 === 0)
        .sort((a, b) => (inventoryKeyOf(a) < inventoryKeyOf(b) ? -1 : 1));
      const found: string[] = [];
      for (let after: string | undefined; ; ) {
        const page = await repository.blobsOnNode(nodeB, {
          ...(after === undefined ? {} : { after }),
          limit: 3,
        });
        found.push(...page.blobs.map((blob) => blob.blobId));
        after = page.next;
        if (after === undefined) break;
      }
      expect(found).toEqual(expected);
    }),
  );

  describe('changes of copies', () => {
    it('are each looked at again: want, unwant, promote', async () => {
      const { repository, clock } = harness();
      const blobId = await bindBlob(repository, `${newDirectory()}/f`, { nodes: two });
      const change = (kind: 'want' | 'unwant' | 'promote', nodeId: typeof nodeA) =>
        repository.changeCopies([{ kind, blobId, nodeId }], clock.now());
      expect(await change('want', nodeB)).toBe(0);
      expect(await change('want', nodeC)).toBe(1);
      expect(await copiesOf(repository, blobId)).toBe('A:stored* B:wanted C:wanted');
      expect(await change('unwant', nodeA)).toBe(0);
      expect(await change('unwant', nodeB)).toBe(1);
      expect(await change('unwant', nodeB)).toBe(0);
      expect(await change('promote', nodeC)).toBe(0);
      await repository.recordReplications([attempt(blobId, nodeC)], later(0));
      expect(await change('promote', nodeC)).toBe(1);
      expect(await change('promote', nodeC)).toBe(0);
      expect(await copiesOf(repository, blobId)).toBe('A:stored C:stored*');
      expect(
        await repository.changeCopies([{ kind: 'want', blobId: newBlobId(), nodeId: nodeA }], 0),
      ).toBe(0);
    });

    it('drop a surplus copy only beside enough other stored ones on confirmed nodes', async () => {
      const { repository, clock } = harness();
      const blobId = await bindBlob(repository, `${newDirectory()}/f`, { nodes: two });
      await repository.changeCopies([{ kind: 'want', blobId, nodeId: nodeC }], clock.now());
      const drop = (nodeId: typeof nodeA, confirmedNodes: readonly (typeof nodeA)[]) =>
        repository.changeCopies(
          [{ kind: 'drop-surplus', blobId, nodeId, confirmedNodes }],
          clock.now(),
        );
      await repository.recordReplications([attempt(blobId, nodeB)], later(0));
      expect(await drop(nodeA, [nodeA, nodeB, nodeC])).toBe(0);
      await repository.recordReplications([attempt(blobId, nodeC)], later(0));
      expect(await drop(nodeA, [nodeA, nodeB])).toBe(0);
      expect(await drop(nodeA, [nodeB, nodeC])).toBe(1);
      expect(await copiesOf(repository, blobId)).toBe('A:dropping B:stored* C:stored');
      // Two at once, each fine by itself: the second sees the first.
      expect(await drop(nodeB, [nodeA, nodeB, nodeC])).toBe(0);
      const due = await repository.dueDrops({ nowMs: clock.now(), nodes: [nodeA], limit: 99 });
      expect(due.map((drop) => drop.blobId)).toContain(blobId);
      await repository.confirmDropped([{ blobId, nodeId: nodeA }], clock.now());
      expect(await copiesOf(repository, blobId)).toBe('B:stored* C:stored');
    });

    it('that drop two copies in one call leave enough', async () => {
      const { repository, clock } = harness();
      const blobId = await bindBlob(repository, `${newDirectory()}/f`, { nodes: two });
      await repository.changeCopies([{ kind: 'want', blobId, nodeId: nodeC }], clock.now());
      await repository.recordReplications(
        [attempt(blobId, nodeB), attempt(blobId, nodeC)],
        later(0),
      );
      const drops = three.map((nodeId) => ({
        kind: 'drop-surplus' as const,
        blobId,
        nodeId,
        confirmedNodes: three,
      }));
      expect(await repository.changeCopies(drops, clock.now())).toBe(1);
    });

    it('are refused by the thousand and one', async () => {
      const { repository } = harness();
      const want = { kind: 'want' as const, blobId: newBlobId(), nodeId: nodeA };
      const changes = repository.changeCopies(Array(1_001).fill(want), 0);
      await expect(changes).rejects.toEqual(kindOf('invalid-request'));
    });
  });

  it(
    'counts exactly, at any moment',
    onNewDatabase(open, async ({ repository, clock }) => {
      const zero = {
        files: 0,
        directories: 0,
        logicalBytes: 0,
        trash: { files: 0, bytes: 0 },
        replicas: statesOf({}),
        blobsShort: 0,
        blobsWithoutCopy: 0,
        missingBytes: 0,
      };
      expect(await repository.counts()).toEqual(zero);
      const blobId = await bindBlob(repository, '/a/b/f', { content: '12345', nodes: three });
      await bind(repository, '/a/g', { content: '123', nodes: two, copiesWanted: 3 });
      await repository.recordReplications([attempt(blobId, nodeC)], later(0));
      expect(await repository.counts()).toEqual({
        files: 2,
        directories: 2,
        logicalBytes: 8,
        trash: { files: 0, bytes: 0 },
        replicas: statesOf({ stored: 3, wanted: 2 }),
        blobsShort: 1,
        blobsWithoutCopy: 0,
        missingBytes: 5 + 2 * 3,
      });
      const missing = { blobId, kind: 'missing' as const, detail: '' };
      await repository.recordDamage(nodeA, [missing], clock.now());
      await repository.recordDamage(nodeC, [{ ...missing, kind: 'corrupt' }], clock.now());
      await repository.removeEntry(path('/a/g'));
      expect(await repository.counts()).toEqual({
        files: 1,
        directories: 2,
        logicalBytes: 5,
        trash: { files: 0, bytes: 0 },
        replicas: statesOf({ stored: 1, wanted: 3, corrupt: 1 }),
        blobsShort: 0,
        blobsWithoutCopy: 1,
        missingBytes: 3 * 5 + 3,
      });
      await repository.recordReplications([attempt(blobId, nodeB)], later(0));
      await repository.bindFiles([bindRequest('/a/b/f', { content: '1' })]);
      await repository.removeEntry(path('/a/b/f'));
      clock.advance(1);
      const now = clock.now();
      const query = { beforeMs: now, nowMs: now, held: new Set<never>(), limit: 100 };
      expect(await repository.releaseUnreferenced(query)).toBe(3);
      const drops = await repository.dueDrops({ nowMs: now, nodes: three, limit: 100 });
      expect((await repository.counts()).replicas).toEqual(statesOf({ dropping: drops.length }));
      await repository.confirmDropped(drops, now);
      await repository.removeEntry(path('/a/b'));
      await repository.removeEntry(path('/a'));
      expect(await repository.counts()).toEqual(zero);
    }),
  );
}

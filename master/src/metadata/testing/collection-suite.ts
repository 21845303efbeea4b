import { type BlobId, newBlobId } from '@dfs/shared';
import { expect, it } from 'vitest';
import type { MetadataRepository } from '../metadata-repository.ts';
import {
  attempt,
  bindBlob,
  bindRequest,
  copiesOf,
  nodeA,
  nodeB,
  onNewDatabase,
  path,
  statesOf,
} from './metadata-fixtures.ts';
import type { MetadataHarness, OpenMetadata } from './metadata-harness.ts';

const two = [nodeA, nodeB];

/** From unreferenced to gone. */
export function describeCollection(open: OpenMetadata): void {
  const test = (work: (harness: MetadataHarness) => Promise<void>) => onNewDatabase(open, work);

  it(
    'gives up what was unreferenced long enough, confirms drops copy by copy, and forgets the blob',
    test(async ({ repository, clock }) => {
      const blobId = await unreferenced(repository, '/f');
      const since = clock.now();
      expect(await release(repository, since)).toBe(0);
      expect(await release(repository, since + 1)).toBe(1);
      expect(await release(repository, since + 1)).toBe(0);
      expect(await copiesOf(repository, blobId)).toBe('A:dropping* B:dropping');
      const due = await repository.dueDrops({ nowMs: since + 1, nodes: two, limit: 9 });
      expect(due.map((drop) => drop.nodeId).sort()).toEqual([...two].sort());
      expect(await repository.dueDrops({ nowMs: since, nodes: two, limit: 9 })).toEqual([]);
      await repository.confirmDropped([{ blobId, nodeId: nodeA }], clock.now());
      await repository.confirmDropped([{ blobId, nodeId: nodeA }], clock.now());
      expect(await copiesOf(repository, blobId)).toBe('B:dropping*');
      await repository.confirmDropped([{ blobId, nodeId: nodeB }], clock.now());
      expect(await copiesOf(repository, blobId)).toBeUndefined();
      const log = await repository.listLog({ path: path('/f') });
      expect(log.map((row) => [row.target, row.outcome])).toEqual([
        [nodeA, 'dropped'],
        [nodeB, 'dropped'],
      ]);
      expect((await repository.counts()).replicas).toEqual(statesOf({}));
    }),
  );

  it(
    'gives up what a replaced name held, and never what a name holds',
    test(async ({ repository, clock }) => {
      const old = await bindBlob(repository, '/f', { content: 'old' });
      const current = await bindBlob(repository, '/f', { content: 'new' });
      clock.advance(1);
      expect(await release(repository, clock.now())).toBe(1);
      expect(await copiesOf(repository, old)).toBe('A:dropping*');
      expect(await copiesOf(repository, current)).toBe('A:stored*');
    }),
  );

  it(
    'spares what is held, or is in an upload that said so, until it ends',
    test(async ({ repository, clock }) => {
      const held = await unreferenced(repository, '/held');
      const uploaded = await unreferenced(repository, '/uploaded');
      const renewed = await unreferenced(repository, '/renewed');
      const free = await unreferenced(repository, '/free');
      clock.advance(10);
      await repository.renewUploads([uploaded, renewed], clock.now() + 10);
      await repository.renewUploads([renewed], clock.now() + 1_000);
      const holding = new Set([held]);
      expect(await release(repository, clock.now(), holding)).toBe(1);
      expect(await copiesOf(repository, free)).toBe('A:dropping* B:dropping');
      clock.advance(11);
      expect(await release(repository, clock.now(), holding)).toBe(1);
      expect(await copiesOf(repository, uploaded)).toBe('A:dropping* B:dropping');
      expect(await release(repository, clock.now())).toBe(1);
      expect(await copiesOf(repository, held)).toBe('A:dropping* B:dropping');
      await repository.endUploads([renewed]);
      expect(await release(repository, clock.now())).toBe(1);
    }),
  );

  it(
    'takes no more than the limit, and is not kept from the rest by what is held',
    test(async ({ repository, clock }) => {
      const blobs = [];
      for (let n = 0; n < 6; n += 1) {
        blobs.push(await unreferenced(repository, `/${n}`));
        clock.advance(1);
      }
      const held = new Set(blobs.slice(0, 3));
      const query = { beforeMs: clock.now(), nowMs: clock.now(), held, limit: 2 };
      expect(await repository.releaseUnreferenced(query)).toBe(2);
      expect(await repository.releaseUnreferenced(query)).toBe(1);
      expect(await repository.releaseUnreferenced(query)).toBe(0);
    }),
  );

  it(
    'keeps a drop that failed for later, with its reason',
    test(async ({ repository, clock }) => {
      const blobId = await unreferenced(repository, '/f');
      clock.advance(1);
      await release(repository, clock.now());
      const drop = { blobId, nodeId: nodeA, error: 'ETIMEDOUT', retryAtMs: clock.now() + 500 };
      await repository.deferDrops([drop, { ...drop, nodeId: nodeB, error: 'no' }]);
      const due = (nowMs: number) => repository.dueDrops({ nowMs, nodes: [nodeA], limit: 9 });
      expect(await due(clock.now() + 499)).toEqual([]);
      expect(await due(clock.now() + 500)).toMatchObject([
        { attempts: 1, lastError: 'ETIMEDOUT', state: 'dropping' },
      ]);
    }),
  );

  it(
    'wants no copies of what no name holds, and makes none of it stored by a late report',
    test(async ({ repository, clock }) => {
      const blobId = await unreferenced(repository, '/f', 3);
      expect(await repository.counts()).toMatchObject({ blobsShort: 0 });
      clock.advance(1);
      await release(repository, clock.now());
      await repository.recordReplications([attempt(blobId, nodeB)], () => 0);
      expect(await copiesOf(repository, blobId)).toBe('A:dropping* B:dropping');
      const dueWork = await repository.dueReplications({
        nowMs: clock.now() + 1e9,
        targets: two,
        limit: 9,
        except: new Set(),
      });
      expect(dueWork).toEqual([]);
    }),
  );

  it(
    'does not confirm what is not being dropped',
    test(async ({ repository, clock }) => {
      const blobId = await bindBlob(repository, '/f', { nodes: two });
      const places = [
        { blobId, nodeId: nodeA },
        { blobId, nodeId: nodeB },
        { blobId: newBlobId(), nodeId: nodeA },
      ];
      await repository.confirmDropped(places, clock.now());
      expect(await copiesOf(repository, blobId)).toBe('A:stored* B:wanted');
      expect(await repository.listLog({})).toEqual([]);
    }),
  );

  it(
    'stores an upload under a new id after the old one was given up',
    test(async ({ repository, clock }) => {
      const request = bindRequest('/f');
      await repository.bindFiles([request]);
      await repository.removeEntry(path('/f'));
      clock.advance(1);
      await release(repository, clock.now());
      await bindBlob(repository, '/f');
      clock.advance(1);
      expect(await release(repository, clock.now())).toBe(0);
      expect(await repository.findFile(path('/f'))).toBeDefined();
    }),
  );
}

async function unreferenced(
  repository: MetadataRepository,
  at: string,
  copiesWanted = 2,
): Promise<BlobId> {
  const blobId = await bindBlob(repository, at, { nodes: two, copiesWanted });
  await repository.removeEntry(path(at));
  return blobId;
}

const release = (
  repository: MetadataRepository,
  beforeMs: number,
  held: ReadonlySet<BlobId> = new Set(),
) => repository.releaseUnreferenced({ beforeMs, nowMs: beforeMs, held, limit: 100 });

import { type EntryId, newBlobId } from '@dfs/shared';
import { expect, it } from 'vitest';
import { decideBind } from '../decisions/bind.ts';
import { decideRemoval } from '../decisions/removal.ts';
import type { BindRequest, Entry } from '../metadata-repository.ts';
import { entryKeyOf, nowhereId, rootId, trashId } from '../root-entries.ts';
import { bindRequest, path } from '../testing/metadata-fixtures.ts';
import { Draft } from './draft.ts';
import { RowsMissing } from './draft-table.ts';

const root: Entry = {
  id: rootId,
  parentId: nowhereId,
  name: '',
  kind: 'directory',
  createdAtMs: 0,
  modifiedAtMs: 0,
  visibility: 'inherit',
};

/** A draft of an otherwise empty database, in which the root has these free names. */
function emptyDraft(requests: readonly BindRequest[], names: readonly string[]): Draft {
  const draft = new Draft({ nowMs: 1_000, configuredCopies: 1 });
  draft.entries.learn(entryKeyOf(nowhereId, ''), root);
  for (const name of names) draft.entries.learn(entryKeyOf(rootId, name), null);
  for (const { blobs } of requests) for (const { blobId } of blobs) draft.blobs.learn(blobId, null);
  return draft;
}

it('says in one go all rows that can be known to be needed', () => {
  const draft = new Draft({ nowMs: 0, configuredCopies: 1 });
  const requests = [
    bindRequest('/a/b', { idempotencyKey: 'key' }),
    bindRequest('/c', { blobSizes: [1, 2] }),
  ];
  expect(() => draft.attempt(() => decideBind(draft, requests))).toThrow(RowsMissing);
  expect(draft.keys.missing.size).toBe(1);
  expect([...draft.blobs.missing]).toEqual(
    requests.flatMap(({ blobs }) => blobs.map((blob) => blob.blobId)),
  );
  expect([...draft.entries.missing].sort()).toEqual([
    entryKeyOf(nowhereId, ''),
    entryKeyOf(rootId, 'a'),
    entryKeyOf(rootId, 'c'),
  ]);
});

it('asks for nothing below a directory that the batch made', () => {
  const requests = [
    bindRequest('/new/deep/a'),
    bindRequest('/new/deep/b', { onConflict: 'rename' }),
  ];
  const draft = emptyDraft(requests, ['new']);
  for (const request of requests) draft.attempt(() => decideBind(draft, [request]));
  const again = bindRequest('/new/deep/b', { onConflict: 'rename' });
  for (const { blobId } of again.blobs) draft.blobs.learn(blobId, null);
  const [outcome] = draft.attempt(() => decideBind(draft, [again]));
  expect(outcome?.named.path).toBe('/new/deep/b (1)');
  expect(draft.isMissingRows).toBe(false);
  expect(draft.journal).toHaveLength(3);
});

it('forgets all of an operation that fails, and nothing of the one before', () => {
  const first = bindRequest('/a');
  const second = [bindRequest('/b/c'), bindRequest('/a', { onConflict: 'fail' })];
  const draft = emptyDraft([first, ...second], ['a', 'b']);
  draft.attempt(() => decideBind(draft, [first]));
  const before = [draft.entries.changes(), draft.files.changes(), draft.blobs.changes()];
  expect(() => draft.attempt(() => decideBind(draft, second))).toThrow(
    expect.objectContaining({ kind: 'precondition-failed' }),
  );
  expect([draft.entries.changes(), draft.files.changes(), draft.blobs.changes()]).toEqual(before);
  expect(draft.journal).toHaveLength(1);
  expect(() => draft.attempt(() => decideRemoval(draft, path('/b'), {}))).toThrow(
    expect.objectContaining({ kind: 'not-found' }),
  );
});

it('writes nothing of a file that is bound and removed in one batch but its blob, left to collection', () => {
  const request = bindRequest('/a');
  const draft = emptyDraft([request], ['a']);
  draft.attempt(() => decideBind(draft, [request]));
  draft.attempt(() => decideRemoval(draft, path('/a'), {}));
  expect(draft.entries.changes()).toEqual([]);
  expect(draft.files.changes()).toEqual([]);
  expect(draft.blobs.changes()).toMatchObject([
    { before: null, after: { unreferencedSinceMs: 1_000 } },
  ]);
  // Both operations are in the journal all the same.
  expect(draft.journal).toHaveLength(2);
});

it('decides again from the same rows with the same result', () => {
  const request = bindRequest('/a', { onConflict: 'rename', blobId: newBlobId() });
  const draft = emptyDraft([request], ['a']);
  const decide = () => draft.attempt(() => decideBind(draft, [request]))[0]?.named.path;
  expect(decide()).toBe('/a');
  draft.restart();
  expect(decide()).toBe('/a');
  expect(draft.journal).toHaveLength(1);
});

it('reads and writes nothing more for a new name when replaced ones are kept', () => {
  const touched = [{}, { trashUntilMs: 9_000 }].map((trash) => {
    const request = bindRequest('/a', trash);
    const draft = emptyDraft([request], ['a']);
    draft.attempt(() => decideBind(draft, [request]));
    const { entries, files, blobs, trash: items, sizes } = draft;
    return {
      isMissingRows: draft.isMissingRows,
      rows: [entries, files, blobs, items].map((table) => table.changes().length),
      sizes: sizes.added().length,
      images: draft.journal.flat().map((image) => image.table),
    };
  });
  expect(touched[1]).toEqual(touched[0]);
  expect(touched[0]).toMatchObject({ isMissingRows: false, rows: [1, 1, 1, 0], sizes: 1 });
});

it('knows where a directory is that moved before in the same batch, and where it was when the move is undone', () => {
  const id = 'd' as EntryId;
  const directory: Entry = { ...root, id, parentId: rootId, name: 'a' };
  const draft = emptyDraft([], []);
  draft.entries.learn(entryKeyOf(rootId, 'a'), directory);
  draft.entries.directoryKeys.learn(id, entryKeyOf(rootId, 'a'));
  const moved: Entry = { ...directory, parentId: trashId, name: 'd' };
  const steps = [
    () => draft.entries.set(entryKeyOf(rootId, 'a'), null),
    () => draft.entries.set(entryKeyOf(trashId, 'd'), moved),
  ];
  for (const order of [steps, steps.toReversed()]) {
    expect(() =>
      draft.attempt(() => {
        for (const step of order) step();
        expect(draft.entries.parentOfDirectory(id)).toBe(trashId);
        throw new Error('undone');
      }),
    ).toThrow('undone');
    expect(draft.entries.parentOfDirectory(id)).toBe(rootId);
  }
  draft.attempt(() => draft.entries.set(entryKeyOf(rootId, 'a'), null));
  expect(draft.entries.parentOfDirectory(id)).toBeUndefined();
});

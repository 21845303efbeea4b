import {
  baseNameOf,
  type EntryId,
  type FilePath,
  newEntryId,
  newFileId,
  pathMaxBytes,
  StoreError,
} from '@dfs/shared';
import type { Draft } from '../draft/draft.ts';
import { entryImage, fileImages, trashGone } from '../journal.ts';
import type { Entry, FileRecord, TrashRecord } from '../metadata-repository.ts';
import { entryKeyOf, trashId } from '../root-entries.ts';
import type { CopyFailure, CopyRequest } from '../working-tree.ts';
import { checkCondition, taken } from './conditions.ts';
import { copiesAt, sweepLater, withCopiesWanted } from './copies-wanted.ts';
import { checkReplaceable, findDestination } from './destination.ts';
import { findChain } from './directories.ts';
import { giveUp, recordTrash, relocate } from './placing.ts';

/** A copy that is not published expires after this, unless it goes on. */
const hiddenKeptMs = 60 * 60_000;
const renewedBeforeMs = 30 * 60_000;

/** A directory whose copy is being built where nobody sees it. */
export interface HiddenCopy {
  readonly id: EntryId;
  readonly sourceId: EntryId;
  /** Copies wanted of files right in it, at the place where it is to be. */
  readonly copies: number;
}

/** One directory to be copied into another, which is there and so far empty but for what was copied before. */
export interface DirectoryCopy {
  readonly sourceId: EntryId;
  readonly targetId: EntryId;
  /** Where the target is to be. */
  readonly path: string;
  readonly copies: number;
}

export type CopyStart =
  | { readonly isNew: boolean; readonly hidden?: undefined }
  | { readonly hidden: HiddenCopy };

/** Copies a file, or a directory alone; of a directory with what is in it, makes the hidden beginning. */
export function decideCopyStart(draft: Draft, request: CopyRequest): CopyStart {
  const { from, to, depth, condition } = request;
  const { source, parents, existing } = placeOf(draft, request);
  const entry = source.at(-1) as Entry;
  checkCondition(draft, from, entry, condition ?? {});
  const name = baseNameOf(to);
  if (entry.kind === 'directory' && depth === 'infinity') {
    const id = newEntryId();
    const hidden = putDirectory(draft, { ...entry, id, parentId: trashId, name: id });
    recordTrash(draft, id, hiddenLabel(draft, to));
    const copies = copiesAt([...parents, hidden], draft.configuredCopies);
    return { hidden: { id, sourceId: entry.id, copies } };
  }
  if (existing) replace(draft, existing, request);
  const place = { ...entry, id: newEntryId(), parentId: (parents.at(-1) as Entry).id, name };
  if (entry.kind === 'directory') putDirectory(draft, place);
  else putFile(draft, place, copiesAt(parents, draft.configuredCopies));
  return { isNew: existing === null };
}

/** Copies these names of a directory. Names that are gone by now are left out. Rejects with `conflict` when the copy was given up. */
export function decideCopyPage(
  draft: Draft,
  hiddenId: EntryId,
  { sourceId, targetId, path, copies }: DirectoryCopy,
  names: readonly string[],
): { directories: readonly DirectoryCopy[]; failures: readonly CopyFailure[] } {
  goOn(draft, hiddenId);
  const directories: DirectoryCopy[] = [];
  const failures: CopyFailure[] = [];
  for (const name of names) draft.entries.need(entryKeyOf(sourceId, name));
  draft.each(names, (name) => {
    const entry = draft.child(sourceId, name);
    if (!entry) return;
    const part = `${path === '/' ? '' : path}/${name}`;
    if (Buffer.byteLength(part) > pathMaxBytes) {
      failures.push({ path: part, error: tooLong(part) });
      return;
    }
    const place = { ...entry, id: newEntryId(), parentId: targetId };
    if (entry.kind === 'file') return putFile(draft, place, copies);
    const made = putDirectory(draft, place);
    const wanted = made.copies ?? copies;
    directories.push({ sourceId: entry.id, targetId: made.id, path: part, copies: wanted });
  });
  return { directories, failures };
}

/** Gives the hidden copy its place. The source must still be at its own. */
export function decidePublication(
  draft: Draft,
  { id, sourceId }: HiddenCopy,
  request: CopyRequest,
): { isNew: boolean } {
  const { from, to } = request;
  const isThere = findChain(draft, from)?.at(-1)?.id === sourceId;
  if (!isThere) throw movedAway(from);
  goOn(draft, id);
  const { parents, existing } = placeOf(draft, request);
  const hidden = draft.entries.get(entryKeyOf(trashId, id));
  if (!hidden) throw givenUp();
  if (existing) replace(draft, existing, request);
  const parent = parents.at(-1) as Entry;
  const entry = relocate(draft, hidden, { parentId: parent.id, name: baseNameOf(to) });
  draft.trash.set(id, null);
  draft.journalise(trashGone(id));
  // Names that are hidden want nothing: a sweep that came by meanwhile may have lowered what the copies share.
  sweepLater(draft, entry);
  return { isNew: existing === null };
}

/** What was built is collected with the trash, from now on. */
export function decideAbandonment(draft: Draft, hiddenId: EntryId): void {
  const record = draft.trash.get(hiddenId);
  if (record?.isHidden) keepUntil(draft, record, draft.nowMs);
}

function placeOf(draft: Draft, { from, to, overwrite }: CopyRequest) {
  const source = findChain(draft, from);
  if (!source) throw new StoreError('not-found', `There is nothing at ${from}.`);
  const journey = { from, to, source, verb: 'copy' as const };
  const { parents, existing } = findDestination(draft, journey);
  if (existing && !overwrite) throw taken(to);
  if (existing) checkReplaceable(journey, existing);
  return { source, parents, existing };
}

/** As a DELETE before it would have done (RFC 4918 section 9.8.4): what is replaced goes whole. */
const replace = (draft: Draft, existing: Entry, { to, trashUntilMs }: CopyRequest) =>
  giveUp(draft, existing, { path: to, reason: 'replaced', trashUntilMs });

/** `place`: the entry that is copied, with the id, parent and name of its copy. */
function putDirectory(draft: Draft, place: Entry): Entry {
  const entry = { ...place, createdAtMs: draft.nowMs, modifiedAtMs: draft.nowMs };
  draft.children.makeFresh(entry.id);
  draft.sizes.makeFresh(entry.id);
  put(draft, entry);
  draft.sizes.addPending(entry.parentId, { files: 0, directories: 1, bytes: 0 });
  return entry;
}

/** A new content over the same blobs. `copies`: what the directory wants. */
function putFile(draft: Draft, place: Entry, copies: number): void {
  const content = place.fileId && draft.files.get(place.fileId);
  if (!content) throw new StoreError('internal', `The content of ${place.name} is missing.`);
  const file: FileRecord = { ...content, id: newFileId() };
  for (const { blobId } of file.blobs) draft.blobs.need(blobId);
  for (const { blobId } of file.blobs) {
    const blob = draft.blobs.get(blobId);
    if (!blob || blob.released) {
      throw new StoreError('internal', `A blob of the content ${content.id} is being deleted.`);
    }
    const wanted = Math.max(blob.copiesWanted, place.copies ?? copies);
    if (wanted > blob.copiesWanted) {
      draft.blobs.set(blobId, withCopiesWanted(draft, blob, wanted));
    }
    draft.uses.add(blobId, 1);
  }
  draft.files.set(file.id, file);
  draft.names.makeFresh(file.id);
  draft.names.add(file.id, 1);
  put(draft, { ...place, fileId: file.id, createdAtMs: draft.nowMs });
  draft.sizes.addPending(place.parentId, { files: 1, directories: 0, bytes: file.sizeBytes });
  draft.journalise(...fileImages(file));
}

function put(draft: Draft, entry: Entry): void {
  draft.entries.set(entryKeyOf(entry.parentId, entry.name), entry);
  draft.children.add(entry.parentId, 1);
  draft.journalise(entryImage(entry));
}

/** The hidden copy is still there and stays for a while. */
function goOn(draft: Draft, hiddenId: EntryId): void {
  const record = draft.trash.get(hiddenId);
  if (!record?.isHidden || record.expiresAtMs <= draft.nowMs) throw givenUp();
  if (record.expiresAtMs - draft.nowMs > renewedBeforeMs) return;
  keepUntil(draft, record, draft.nowMs + hiddenKeptMs);
}

function keepUntil(draft: Draft, record: TrashRecord, expiresAtMs: number): void {
  const { path, reason, isHidden } = record;
  recordTrash(draft, record.entryId, { path, reason, isHidden, expiresAtMs });
}

const hiddenLabel = (draft: Draft, path: FilePath) => ({
  path,
  reason: 'deleted' as const,
  isHidden: true,
  expiresAtMs: draft.nowMs + hiddenKeptMs,
});

const tooLong = (part: string) =>
  new StoreError('invalid-path', `The path of ${baseNameOf(part as FilePath)} would be too long.`, {
    hint: `Paths have ${pathMaxBytes} bytes at most: copy it to a place with a shorter one.`,
  });

const movedAway = (from: FilePath) =>
  new StoreError('conflict', `${from} was moved or removed while it was copied.`, {
    hint: 'Nothing was changed. Copy it from where it is now.',
  });

const givenUp = () =>
  new StoreError('conflict', 'The copy was given up before it was whole.', {
    hint: 'Nothing was changed. Copy it again.',
  });

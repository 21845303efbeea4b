import {
  baseNameOf,
  childOf,
  type FilePath,
  fileIdOfFirstBlob,
  newEntryId,
  parentOf,
  rootPath,
  StoreError,
} from '@dfs/shared';
import { type BlobState, copyOn, newCopy, shortOf, withCopy, withPrimary } from '../blob-state.ts';
import type { Draft } from '../draft/draft.ts';
import { entryImage, fileImages } from '../journal.ts';
import type {
  BindOutcome,
  BindRequest,
  BlobToBind,
  Entry,
  FileRecord,
  NamedFile,
} from '../metadata-repository.ts';
import { entryKeyOf } from '../root-entries.ts';
import { isPublicAt } from '../visibility.ts';
import { checkCondition, taken } from './conditions.ts';
import { copiesAt, withCopiesWanted } from './copies-wanted.ts';
import { makeDirectories, needWayTo } from './directories.ts';
import { freeName } from './free-name.ts';
import { findKnown, remember } from './idempotency.ts';
import { releaseName } from './release.ts';
import { countOut } from './sizes.ts';
import { keepReplaced } from './trash.ts';

/** Binds all or none: whatever fails throws. What `bindFiles` promises is decided here. Pure but for the ids of new entries. */
export const decideBind = (draft: Draft, requests: readonly BindRequest[]): BindOutcome[] =>
  draft.each(requests, (request) => bind(draft, request));

function bind(draft: Draft, request: BindRequest): BindOutcome {
  for (const { blobId } of request.blobs) draft.blobs.need(blobId);
  needWayTo(draft, request.path);
  const repeated = findKnown(draft, request);
  if (repeated) return repeated;
  const { path } = request;
  if (path === rootPath) throw isADirectory(path);
  const chain = makeDirectories(draft, parentOf(path));
  const parent = chain.at(-1) as Entry;
  const existing = draft.child(parent.id, baseNameOf(path));
  if (existing && isSame(draft, existing, request)) {
    return sameAgain(draft, request, chain, existing);
  }
  checkCondition(draft, path, existing, request);
  const boundPath = existing ? pathBesides(draft, request, parent, existing) : path;
  const replaced = boundPath === path ? existing : null;

  const file: FileRecord = { ...request.file, blobs: request.blobs.map(fileBlobOf) };
  const entry = entryFor(draft, request, { chain, path: boundPath, replaced });
  const copies = copiesAt([...chain, entry], draft.configuredCopies);
  recordFile(draft, file, request, { path: boundPath, copies });
  draft.entries.set(entryKeyOf(parent.id, entry.name), entry);
  draft.journalise(entryImage(entry), ...fileImages(file));
  draft.names.add(file.id, 1);
  if (replaced) countOut(draft, replaced);
  draft.sizes.addPending(parent.id, { files: 1, directories: 0, bytes: file.sizeBytes });
  if (replaced?.fileId === undefined) draft.children.add(parent.id, 1);
  else if (request.trashUntilMs === undefined) releaseName(draft, replaced.fileId);
  else keepReplaced(draft, replaced, { path, expiresAtMs: request.trashUntilMs });

  const outcome: BindOutcome = {
    named: namedOf(draft, { path: boundPath, chain, entry, file }),
    ...(replaced?.fileId === undefined ? {} : { replaced: replaced.fileId }),
    repeated: false,
  };
  remember(draft, request, outcome);
  return outcome;
}

function namedOf(
  draft: Draft,
  bound: { path: FilePath; chain: readonly Entry[]; entry: Entry; file: FileRecord },
): NamedFile {
  const { path, entry, file } = bound;
  const chain = [...bound.chain, entry];
  const copiesWanted = copiesAt(chain, draft.configuredCopies);
  return { path, entry, file, isPublic: isPublicAt(chain), copiesWanted };
}

/** Where the file goes when its name is taken: there, or under a free name. Rejects with `precondition-failed` and `is-a-directory`. */
function pathBesides(
  draft: Draft,
  { path, onConflict }: BindRequest,
  parent: Entry,
  existing: Entry,
): FilePath {
  if (onConflict === 'fail') throw taken(path);
  if (onConflict === 'rename') {
    return childOf(parentOf(path), freeName(draft, parent, existing.name));
  }
  if (existing.kind === 'directory') throw isADirectory(path);
  return path;
}

function entryFor(
  draft: Draft,
  request: BindRequest,
  place: { chain: readonly Entry[]; path: FilePath; replaced: Entry | null },
): Entry {
  const { chain, path, replaced } = place;
  const parent = chain.at(-1) as Entry;
  const copies = copiesSetOn(draft, request, chain, replaced);
  return {
    id: replaced?.id ?? newEntryId(),
    parentId: parent.id,
    name: baseNameOf(path),
    kind: 'file',
    fileId: request.file.id,
    createdAtMs: replaced?.createdAtMs ?? draft.nowMs,
    modifiedAtMs: request.modifiedAtMs ?? draft.nowMs,
    visibility: request.visibility ?? replaced?.visibility ?? 'inherit',
    ...(copies === undefined ? {} : { copies }),
  };
}

/** The name keeps its own number; an upload that asks for more than the file would have sets one. */
function copiesSetOn(
  draft: Draft,
  { minCopies = 0 }: BindRequest,
  chain: readonly Entry[],
  replaced: Entry | null,
): number | undefined {
  const wanted = copiesAt(replaced ? [...chain, replaced] : chain, draft.configuredCopies);
  return minCopies > wanted ? minCopies : replaced?.copies;
}

function recordFile(
  draft: Draft,
  file: FileRecord,
  request: BindRequest,
  place: { path: FilePath; copies: number },
): void {
  if (isKnownFile(draft, request)) {
    throw new StoreError('conflict', `The content ${file.id} is bound to another name already.`, {
      hint: 'Upload it again: an upload is bound once.',
    });
  }
  draft.files.set(file.id, file);
  draft.names.makeFresh(file.id);
  for (const blob of request.blobs) bindBlob(draft, blob, place);
}

/** An upload's content has the id of its first blob, and the row of a blob outlives those that refer to it: no blob, no file. */
function isKnownFile(draft: Draft, { file, blobs }: BindRequest): boolean {
  const [first] = blobs;
  const isUpload = first !== undefined && fileIdOfFirstBlob(first.blobId) === file.id;
  if (isUpload && draft.blobs.get(first.blobId) === null) return false;
  return draft.files.get(file.id) !== null;
}

function bindBlob(
  draft: Draft,
  request: BlobToBind,
  { path, copies }: { path: FilePath; copies: number },
): void {
  const known = draft.blobs.get(request.blobId);
  if (known?.released) {
    throw new StoreError('conflict', `The blob ${request.blobId} is being deleted.`, {
      hint: 'Upload it again.',
    });
  }
  if (known && (known.md5 !== request.md5 || known.sizeBytes !== request.sizeBytes)) {
    throw new StoreError('conflict', `The blob ${request.blobId} is known with other bytes.`);
  }
  if (!known) draft.uses.makeFresh(request.blobId);
  draft.uses.add(request.blobId, 1);
  const blob = known ?? newBlob(request, path, draft.nowMs);
  const wanted = withCopiesWanted(draft, blob, Math.max(blob.copiesWanted, copies));
  const bound = { ...wanted, unreferencedSinceMs: null };
  draft.blobs.set(request.blobId, withWantedCopies(bound, request, draft.nowMs));
}

function newBlob(request: BlobToBind, path: FilePath, nowMs: number): BlobState {
  const { primary, storedOn } = request;
  const copies = [...new Set([primary, ...storedOn])].map((id) => newCopy(id, 'stored', nowMs));
  const blob: BlobState = {
    id: request.blobId,
    sizeBytes: request.sizeBytes,
    md5: request.md5,
    copiesWanted: 0,
    path,
    unreferencedSinceMs: null,
    released: false,
    copiesChangedAtMs: 0,
    copies,
  };
  return withPrimary(blob, primary);
}

/** Rows that are there already know better how their copies are. Fewer may be wanted by now than when the upload was placed. */
function withWantedCopies(blob: BlobState, request: BlobToBind, nowMs: number): BlobState {
  const missing = request.wantedOn.filter((nodeId) => !copyOn(blob, nodeId));
  return missing
    .slice(0, shortOf(blob))
    .reduce((state, nodeId) => withCopy(state, newCopy(nodeId, 'wanted', nowMs)), blob);
}

const fileBlobOf = ({ blobId, offsetBytes, sizeBytes, md5 }: BlobToBind) => ({
  blobId,
  offsetBytes,
  sizeBytes,
  md5,
});

/** The same content is bound there already: a commit whose outcome was not known to the caller is repeated. */
function isSame(draft: Draft, existing: Entry, request: BindRequest): boolean {
  return existing.fileId === request.file.id && isKnownFile(draft, request);
}

function sameAgain(
  draft: Draft,
  { path, file }: BindRequest,
  chain: readonly Entry[],
  entry: Entry,
): BindOutcome {
  const known = draft.files.get(file.id) as FileRecord;
  return {
    named: namedOf(draft, { path, chain, entry, file: known }),
    repeated: true,
  };
}

const isADirectory = (path: FilePath) =>
  new StoreError('is-a-directory', `${path} is a directory.`, {
    hint: 'Give the path of a file.',
  });

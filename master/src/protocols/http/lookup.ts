import { type FilePath, type Opening, StoreError } from '@dfs/shared';
import { linkRefused, openingByAddress, openingByLink } from '../../access/judge-opening.ts';
import type { Principal } from '../../access/rules.ts';
import type { FileRef } from '../../files/file-types.ts';
import type { Entry, EntryKind, NamedFile } from '../../metadata/metadata-repository.ts';
import type { Asker } from './exchange.ts';
import type { Front } from './front.ts';

/** A file that may be read, and by which right. */
export interface ReadableFile {
  readonly named: NamedFile;
  readonly opening: Opening;
}

/**
 * The file that is asked for, if it may be read: since it is public, the principal may, a signature in the query opens it (by path alone, and for GET and HEAD), or a grant lets the
 * client's address. To whoever may not, a private file, a directory and nothing at all look the same. Rejects with `unauthorized`, `forbidden`, `not-found`, `is-a-directory`.
 */
export async function findReadable(
  front: Front,
  asker: Asker,
  ref: FileRef,
): Promise<ReadableFile> {
  const { access } = front;
  const { principal, clientAddress } = asker;
  const named = await findNamed(front, asker, ref);
  // By id the rights are those of the name that holds the content now.
  const path = 'path' in ref ? ref.path : named?.path;
  const target = {
    isPublic: named?.isPublic ?? false,
    ...(path === undefined ? {} : { path }),
  };
  if (access.may(principal, 'read', target)) {
    if (named) return { named, opening: { kind: named.isPublic ? 'public' : 'right' } };
    throw nothingFor(ref);
  }
  const signature = asker.query.get('signature');
  const link =
    signature !== null && 'path' in ref
      ? await openingByLink(front, { path: ref.path, signature, named })
      : undefined;
  if (link && 'kind' in link) {
    if (named) return { named, opening: link };
    throw nothingFor(ref);
  }
  const grant = named && (await openingByAddress(front, { named, clientAddress }));
  if (grant) return { named, opening: grant };
  if (link) throw linkRefused(link.fault);
  // Who asks by id is not told where it is.
  access.authorize(principal, 'read', 'path' in ref ? target : {});
  throw nothingFor(ref);
}

/** The file, or undefined for nothing; a directory passes for nothing where it may not be listed. Rejects with `is-a-directory` where it may. */
async function findNamed(
  { access, files, metadata }: Front,
  { principal }: Asker,
  ref: FileRef,
): Promise<NamedFile | undefined> {
  try {
    return await files.find(ref);
  } catch (error) {
    const isDirectory = error instanceof StoreError && error.kind === 'is-a-directory';
    if (!isDirectory || !('path' in ref)) throw error;
    const { path } = ref;
    const isPublic = (await metadata.findNamed(path))?.isPublic ?? false;
    if (access.may(principal, 'list', { path, isPublic })) throw error;
    return undefined;
  }
}

const nothingFor = (ref: FileRef) => ('path' in ref ? noFileAt(ref.path) : noContent(ref.id));

export const nothingAt = (path: FilePath) =>
  new StoreError('not-found', `There is nothing at ${path}.`, {
    hint: 'List the directory above it to see which names there are.',
  });

export const noFileAt = (path: FilePath) =>
  new StoreError('not-found', `There is no file at ${path}.`, {
    hint: 'List the directory above it to see which names there are.',
  });

const noContent = (id: string) =>
  new StoreError('not-found', `There is no file with the id ${id}.`, {
    hint: 'It was deleted or replaced, or the id is of another cluster.',
  });

/** Whether the principal gets to see a name in a listing: that of a file it may read, or of a directory it may list. */
export const maySee = (
  { access }: Pick<Front, 'access'>,
  principal: Principal,
  entry: { readonly path: FilePath; readonly kind: EntryKind; readonly isPublic: boolean },
): boolean => access.may(principal, entry.kind === 'directory' ? 'list' : 'read', entry);

/** Rejects with `unauthorized` or `forbidden` unless the principal gets to see what is at a path. */
export async function authorizeSeeing(
  front: Front,
  { principal }: Pick<Asker, 'principal'>,
  path: FilePath,
): Promise<void> {
  const { access, metadata } = front;
  if (access.may(principal, 'read', { path })) return;
  const named = await metadata.findNamed(path);
  const { kind } = named?.entry ?? {};
  if (named && kind && maySee(front, principal, { path, kind, isPublic: named.isPublic })) return;
  access.authorize(principal, 'read', { path });
}

/** The directory's row, if the principal may list it. Rejects with `unauthorized`, `not-found`, `not-a-directory`. */
export async function authorizeListing(
  { access, metadata }: Front,
  asker: Pick<Asker, 'principal'>,
  path: FilePath,
): Promise<Entry> {
  const named = await metadata.findNamed(path);
  const entry = named?.entry;
  access.authorize(asker.principal, 'list', { path, isPublic: named?.isPublic ?? false });
  if (!entry) throw nothingAt(path);
  if (entry.kind === 'directory') return entry;
  throw new StoreError('not-found', `${path} is a file, and the request names a directory.`, {
    hint: 'Leave out the slash at the end.',
  });
}

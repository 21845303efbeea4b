import { type FilePath, StoreError } from '@dfs/shared';
import type { FileRef } from '../../files/file-types.ts';
import type { Entry, NamedFile } from '../../metadata/metadata-repository.ts';
import type { Exchange } from './exchange.ts';
import type { Front } from './front.ts';

/**
 * The file that is asked for, if the principal may read it. To whoever may not, a private file, a directory and nothing at all look the
 * same. Rejects with `unauthorized`, `not-found`, `is-a-directory`.
 */
export async function findReadable(
  front: Front,
  exchange: Exchange,
  ref: FileRef,
): Promise<NamedFile> {
  const { access, files } = front;
  try {
    const named = await files.find(ref);
    // By id the rights are those of the name that holds the content now.
    const path = 'path' in ref ? ref.path : named?.path;
    access.authorize(exchange.principal, 'read', {
      isPublic: named?.isPublic ?? false,
      ...(path === undefined ? {} : { path }),
    });
    if (named) return named;
  } catch (error) {
    const isDirectory = error instanceof StoreError && error.kind === 'is-a-directory';
    if (isDirectory && 'path' in ref) await authorizeListing(front, exchange, ref.path);
    throw error;
  }
  throw 'path' in ref ? noFileAt(ref.path) : noContent(ref.id);
}

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

/** The directory's row, if the principal may list it. Rejects with `unauthorized`, `not-found`, `not-a-directory`. */
export async function authorizeListing(
  { access, metadata }: Front,
  exchange: Exchange,
  path: FilePath,
): Promise<Entry> {
  const named = await metadata.findNamed(path);
  const entry = named?.entry;
  access.authorize(exchange.principal, 'list', { path, isPublic: named?.isPublic ?? false });
  if (!entry) throw nothingAt(path);
  if (entry.kind === 'directory') return entry;
  throw new StoreError('not-found', `${path} is a file, and the request names a directory.`, {
    hint: 'Leave out the slash at the end.',
  });
}

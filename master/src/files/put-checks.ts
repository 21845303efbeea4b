import { type FilePath, parentOf, rootPath, StoreError } from '@dfs/shared';
import type { Entry, MetadataRepository } from '../metadata/metadata-repository.ts';
import type { PutRequest } from './file-types.ts';

type NameToBind = Pick<PutRequest, 'path' | 'ifMatch' | 'ifNoneMatch' | 'onConflict'>;

/**
 * Refuses a name that a bind would refuse as things are now: `not-a-directory`, `is-a-directory`, `precondition-failed`. A courtesy to
 * senders of long bodies: the bind decides again.
 */
export async function checkName(metadata: MetadataRepository, request: NameToBind): Promise<void> {
  const { path, ifMatch, onConflict } = request;
  const entry = await metadata.findEntry(path);
  if (!entry) {
    await checkParents(metadata, path);
    if (ifMatch !== undefined) throw preconditionFailed(`There is no file at ${path}.`);
    return;
  }
  if (entry.kind === 'directory') {
    if (onConflict === 'rename' && path !== rootPath) return;
    if (onConflict === 'fail' || request.ifNoneMatch === '*') {
      throw preconditionFailed(`${path} exists already.`);
    }
    throw new StoreError('is-a-directory', `${path} is a directory.`, {
      hint: 'Give the name of a file in it.',
    });
  }
  await checkConditions(metadata, request, entry);
}

async function checkParents(metadata: MetadataRepository, path: FilePath): Promise<void> {
  for (let parent = parentOf(path); parent !== rootPath; parent = parentOf(parent)) {
    const entry = await metadata.findEntry(parent);
    if (entry?.kind === 'directory') return;
    if (entry) {
      throw new StoreError('not-a-directory', `${parent} is a file, so nothing can be in it.`, {
        hint: 'Choose another directory.',
      });
    }
  }
}

async function checkConditions(
  metadata: MetadataRepository,
  { path, ifMatch, ifNoneMatch, onConflict }: NameToBind,
  entry: Entry,
): Promise<void> {
  if (ifNoneMatch === '*' || onConflict === 'fail') {
    throw preconditionFailed(`${path} exists already.`);
  }
  const isCompared = Array.isArray(ifMatch) || ifNoneMatch !== undefined;
  if (!isCompared || entry.fileId === undefined) return;
  const md5 = (await metadata.findFile(path))?.file.md5;
  if (md5 === undefined) return;
  if (ifMatch !== undefined && ifMatch !== '*' && !ifMatch.includes(md5)) {
    throw preconditionFailed(`${path} has another content than If-Match names.`);
  }
  if (ifNoneMatch?.includes(md5)) {
    throw preconditionFailed(`${path} has the content that If-None-Match names.`);
  }
}

const preconditionFailed = (message: string) =>
  new StoreError('precondition-failed', message, {
    hint: 'Look at the file as it is now, then decide again.',
  });

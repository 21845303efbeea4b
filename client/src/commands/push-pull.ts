import { mkdir, realpath, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { type FilePath, StoreError } from '@dfs/shared';
import { stateDirOf } from '../client-config.ts';
import { shown } from '../output.ts';
import { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';
import { nameOfParts } from '../state/name-of-parts.ts';
import { SortedState } from '../state/sorted-state.ts';
import { takeLock } from '../state/state-lock.ts';
import { printReport } from '../sync/mirror-output.ts';
import { transferTree } from '../sync/transfer-tree.ts';
import { withRetries } from '../upload.ts';

export interface PushPullOptions {
  readonly transfers: number;
  /** The folder of the store, where it is not the one of PATH. */
  readonly remote?: string;
  readonly delete?: boolean;
  readonly force?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** `dfs push`: makes the remote folder equal to the local one. Sets the exit code. */
export const push = (session: Session, path: string, options: PushPullOptions) =>
  synchronise(session, 'push', path, options);

/** `dfs pull`: makes the local folder equal to the remote one. Sets the exit code. */
export const pull = (session: Session, path: string, options: PushPullOptions) =>
  synchronise(session, 'pull', path, options);

async function synchronise(
  session: Session,
  direction: 'push' | 'pull',
  path: string,
  options: PushPullOptions,
): Promise<void> {
  const { delete: mayDelete = false, force: isForced = false } = options;
  const { dryRun: isDryRun = false, json: isJson = false, transfers } = options;
  const remote = remoteOf(session, path, options.remote);
  const local = await localOf(path, direction);
  if (direction === 'pull' && mayDelete) await mustSeeAll(session);
  const state = await openBase(session, local, remote);
  try {
    const report = await transferTree({
      session,
      direction,
      local,
      remote,
      permissions: { mayDelete, isForced },
      base: state.base,
      keepsTimes: false,
      isDryRun,
      isJson,
      transfers,
    });
    const title =
      direction === 'push'
        ? `push of ${shown(local)} to ${shown(remote)}`
        : `pull of ${shown(remote)} to ${shown(local)}`;
    const facts = { local, path: remote };
    const target = direction === 'push' ? 'in the store' : 'here';
    process.exitCode = printReport({
      title,
      report,
      isDryRun,
      isJson,
      namesPaths: true,
      target,
      facts,
      environment: session.environment,
    });
  } finally {
    await state.close();
  }
}

/** Who has no key sees the public names of a store with a key, and would take the others for deleted. */
async function mustSeeAll({ api }: Session): Promise<void> {
  if (api.key !== undefined) return;
  await withRetries(() => new DfsClient(api).status(), { signal: api.signal });
}

/** Both folders have the same path, each seen from where the user is. */
function remoteOf(session: Session, path: string, remote: string | undefined): FilePath {
  if (remote !== undefined) return session.path(remote);
  if (!isAbsolute(path)) return session.path(path);
  throw new StoreError('invalid-request', `${shown(path)} is not relative.`, {
    hint: 'Name a folder below the current one, or the folder of the store too, with --remote.',
  });
}

async function localOf(path: string, direction: 'push' | 'pull'): Promise<string> {
  const local = resolve(path);
  const found = await stat(local).catch((error: NodeJS.ErrnoException) => error);
  if (found instanceof Error) {
    // A folder that is missing by mistake must not empty the one of the store.
    if (direction === 'pull' && found.code === 'ENOENT') {
      const parent = await realpath(dirname(local)).catch(() => dirname(local));
      return join(parent, basename(local));
    }
    throw new StoreError(
      found.code === 'ENOENT' ? 'not-found' : 'invalid-request',
      `${shown(local)} cannot be read (${found.code}).`,
      { hint: 'Name a folder of this machine.', cause: found },
    );
  }
  if (found.isDirectory()) return realpath(local);
  throw new StoreError('not-a-directory', `${shown(local)} is no folder.`, {
    hint: 'Store one file with "dfs put" or "dfs import".',
  });
}

/** What both folders held when they were last made equal, for this process alone. */
async function openBase(session: Session, local: string, remote: FilePath) {
  const { url } = session.api;
  const folder = join(stateDirOf(session.environment), 'sync', nameOfParts(url, local, remote));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const lock = await takeLock(join(folder, 'lock'));
  if (lock === undefined) {
    throw new StoreError('unavailable', `Another push or pull of ${shown(local)} is running.`, {
      hint: 'Wait for its end.',
    });
  }
  try {
    // For whoever wonders what this is.
    await writeFile(join(folder, 'folders.json'), `${JSON.stringify({ url, local, remote })}\n`);
    const base = await SortedState.open<string>(join(folder, 'base'));
    const close = async () => {
      await base.close();
      lock.release();
    };
    return { base, close };
  } catch (error) {
    lock.release();
    throw error;
  }
}

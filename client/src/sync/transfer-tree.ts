import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { type FilePath, StoreError } from '@dfs/shared';
import { cacheDirOf } from '../client-config.ts';
import { shown } from '../output.ts';
import { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';
import { nameOfParts } from '../state/name-of-parts.ts';
import { HashCache } from '../trees/hash-cache.ts';
import { LocalFolder } from '../trees/local-folder.ts';
import { walkLocalTree } from '../trees/local-tree.ts';
import { StoreFolder } from '../trees/store-folder.ts';
import type { Skipped } from '../trees/tree-entry.ts';
import { withRetries } from '../upload.ts';
import { type EndsOptions, endsOfPull, endsOfPush } from './ends.ts';
import { type MirrorOptions, mirror } from './mirror.ts';
import type { MirrorReport } from './mirror-report.ts';
import { showTransfers, type TransferProgress } from './transfer-progress.ts';

export interface TreeTransfer
  extends Pick<
    MirrorOptions,
    'permissions' | 'base' | 'keepsTimes' | 'topModifiedMs' | 'isDryRun' | 'transfers'
  > {
  readonly session: Session;
  /** `push`: the local directory is made the model of the one in the store; `pull`: the reverse. */
  readonly direction: 'push' | 'pull';
  readonly local: string;
  readonly remote: FilePath;
  readonly isJson: boolean;
}

/** Makes a directory of the store equal to one of this machine, or the reverse. */
export async function transferTree(transfer: TreeTransfer): Promise<MirrorReport> {
  const { session, direction, remote: top, isDryRun } = transfer;
  const unnamed: Skipped[] = [];
  const report = await withFolders(transfer, unnamed, async (folders) => {
    if (direction === 'pull') await mustBeDirectory(session, top);
    // An empty directory becomes one, too.
    const target = direction === 'push' ? folders.remote : folders.local;
    if (!isDryRun) await target.makeDirectory('');
    const ends = direction === 'push' ? endsOfPush(folders) : endsOfPull(folders);
    const { topModifiedMs } = transfer;
    return mirror({
      ...transfer,
      ends,
      progress: folders.progress,
      topModifiedMs: top === '/' && direction === 'push' ? undefined : topModifiedMs,
    });
  });
  // A download cannot help a name that only this machine has.
  if (direction === 'push') report.skipped.push(...unnamed);
  return report;
}

/** Opens both sides, has the work done, and tidies up, whatever became of it. */
export async function withFolders<T>(
  transfer: TreeTransfer,
  unnamed: Skipped[],
  work: (folders: EndsOptions) => Promise<T>,
): Promise<T> {
  const { session, direction, isDryRun, isJson } = transfer;
  const progress = showTransfers({
    label: transfer.remote,
    tellsRetries: !isJson,
    isShown: !isDryRun,
  });
  const top = await realpath(transfer.local).catch(() => transfer.local);
  const cache = join(cacheDirOf(session.environment), 'hashes', nameOfParts(top));
  const hashes = await HashCache.open(cache);
  const client = new DfsClient(session.api);
  const local = new LocalFolder({
    top,
    hashes,
    mayBeMissing: direction === 'pull',
    onUnnamed: (skipped) => void unnamed.push(skipped),
    isTidied: direction === 'pull' && !isDryRun,
  });
  const remote = new StoreFolder({
    client,
    top: transfer.remote,
    mayBeMissing: direction === 'push',
    say: progress.sayRetry,
  });
  // A shell ends what is under way itself, and lives on.
  const signals = session.api.signal === undefined ? endingSignals : [];
  const onSignal = (signal: NodeJS.Signals) => {
    local.abandon();
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  for (const signal of signals) process.once(signal, onSignal);
  try {
    if (process.stderr.isTTY && !isDryRun) {
      // The display alone asks for it: nothing waits, and nothing fails with it.
      expectAll({ transfer, top, client, progress }).catch(() => {});
    }
    return await work({ local, remote, progress });
  } finally {
    for (const signal of signals) process.off(signal, onSignal);
    progress.stop();
    await hashes.close();
  }
}

/** Rejects before anything is made on this machine. */
async function mustBeDirectory({ api }: Session, path: FilePath): Promise<void> {
  if (path === '/') return;
  const { kind } = await withRetries(() => new DfsClient(api).stat(path), { signal: api.signal });
  if (kind === 'directory') return;
  throw new StoreError('not-a-directory', `${shown(path)} is no directory of the store.`, {
    hint: 'Fetch one file with "dfs get" or "dfs export".',
  });
}

const endingSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Finds out how much there is in all, while the transfers run. */
async function expectAll(options: {
  transfer: TreeTransfer;
  top: string;
  client: DfsClient;
  progress: TransferProgress;
}): Promise<void> {
  const { transfer, top, client, progress } = options;
  if (transfer.direction === 'pull') {
    const { files, bytes } = await client.usage(transfer.remote);
    progress.expect(files, bytes);
    return;
  }
  for await (const entry of walkLocalTree(top, { onUnnamed: () => {} })) {
    if (entry.kind === 'file') progress.expect(1, entry.sizeBytes);
  }
}

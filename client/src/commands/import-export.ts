import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import {
  baseNameOf,
  checkName,
  childOf,
  type FilePath,
  parentOf,
  rootPath,
  type StatAnswer,
  StoreError,
} from '@dfs/shared';
import { shown } from '../output.ts';
import { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';
import { type EndsOptions, endsOfPull, endsOfPush } from '../sync/ends.ts';
import { printReport } from '../sync/mirror-output.ts';
import { MirrorReport } from '../sync/mirror-report.ts';
import { type TreeTransfer, transferTree, withFolders } from '../sync/transfer-tree.ts';
import { modifiedMsOf } from '../trees/local-tree.ts';
import { withRetries } from '../upload.ts';

export interface ImportExportOptions {
  readonly transfers: number;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** What arrives replaces what is there; nothing is deleted. */
const permissions = { mayDelete: false, isForced: true };

/** `dfs import`: a file or a whole directory of this machine becomes one of the store. Sets the exit code. */
export async function importPath(
  session: Session,
  hostPath: string,
  dfsPath: string,
  options: ImportExportOptions,
): Promise<void> {
  const local = resolve(hostPath);
  const facts = await stat(local, { bigint: true }).catch((cause: NodeJS.ErrnoException) => {
    throw new StoreError(
      cause.code === 'ENOENT' ? 'not-found' : 'invalid-request',
      `${shown(hostPath)} cannot be read (${cause.code}).`,
      { hint: 'Name a file or a directory on this machine.', cause },
    );
  });
  const remote = session.path(dfsPath);
  if (facts.isDirectory()) {
    const transfer = transferOf(session, 'push', { local, remote }, options);
    const topModifiedMs = modifiedMsOf(facts);
    finish(transfer, await transferTree({ ...transfer, topModifiedMs }));
    return;
  }
  const found = await statOf(session, remote);
  const isInto = found?.kind === 'directory' || dfsPath.endsWith('/');
  const target = isInto ? childOf(remote, checkName(basename(local))) : remote;
  if (target === rootPath) throw isRoot();
  // A link that is named itself is followed.
  const file = await realpath(local);
  const transfer = transferOf(session, 'push', { local: file, remote: target }, options);
  const folder = { ...transfer, local: dirname(file), remote: parentOf(target) };
  finish(transfer, await withFolders(folder, [], (folders) => sendFile(folders, transfer)));
}

/** `dfs export`: a file or a whole directory of the store becomes one of this machine. Sets the exit code. */
export async function exportPath(
  session: Session,
  dfsPath: string,
  hostPath: string,
  options: ImportExportOptions,
): Promise<void> {
  const remote = session.path(dfsPath);
  const local = resolve(hostPath);
  const found = remote === rootPath ? undefined : await mustStat(session, remote);
  if (found?.kind !== 'file') {
    const transfer = transferOf(session, 'pull', { local, remote }, options);
    const topModifiedMs = found === undefined ? undefined : Date.parse(found.modified);
    finish(transfer, await transferTree({ ...transfer, topModifiedMs }));
    return;
  }
  const isInto =
    hostPath.endsWith('/') || (await stat(local).catch(() => undefined))?.isDirectory();
  const target = isInto ? join(local, baseNameOf(remote)) : local;
  const transfer = transferOf(session, 'pull', { local: target, remote }, options);
  const folder = { ...transfer, local: dirname(target), remote: parentOf(remote) };
  finish(transfer, await withFolders(folder, [], (folders) => fetchFile(folders, transfer)));
}

const transferOf = (
  session: Session,
  direction: 'push' | 'pull',
  { local, remote }: { local: string; remote: FilePath },
  options: ImportExportOptions,
): TreeTransfer => ({
  session,
  direction,
  local,
  remote,
  permissions,
  keepsTimes: true,
  isDryRun: options.dryRun ?? false,
  isJson: options.json ?? false,
  transfers: options.transfers,
});

function finish(transfer: TreeTransfer, report: MirrorReport): void {
  const { session, direction, local, remote, isDryRun, isJson } = transfer;
  const title =
    direction === 'push'
      ? `import of ${shown(local)} to ${shown(remote)}`
      : `export of ${shown(remote)} to ${shown(local)}`;
  const facts = { local, path: remote };
  const target = direction === 'push' ? 'in the store' : 'here';
  process.exitCode = printReport({
    title,
    report,
    isDryRun,
    isJson,
    namesPaths: false,
    target,
    facts,
    environment: session.environment,
  });
}

/** One file: the names of both sides may differ. */
async function sendFile(folders: EndsOptions, transfer: TreeTransfer): Promise<MirrorReport> {
  const { local, remote, progress } = folders;
  const report = new MirrorReport();
  const file = await local.look(basename(transfer.local));
  if (file === undefined) throw isNoFile(transfer.local);
  const name = baseNameOf(transfer.remote);
  progress.expect(1, file.sizeBytes);
  const there = await remote.look(name);
  if (there?.sizeBytes === file.sizeBytes && there.md5 === (await local.md5Of(file))) {
    if (there.modifiedMs !== file.modifiedMs && !transfer.isDryRun)
      await remote.setModified(name, file.modifiedMs);
    report.unchanged += 1;
    return report;
  }
  if (!transfer.isDryRun) await endsOfPush(folders).write(file, there, name);
  (there === undefined ? report.created : report.updated).push(name);
  report.bytes = file.sizeBytes;
  return report;
}

async function fetchFile(folders: EndsOptions, transfer: TreeTransfer): Promise<MirrorReport> {
  const { local, remote, progress } = folders;
  const report = new MirrorReport();
  const name = baseNameOf(transfer.remote);
  const file = await remote.look(name);
  if (file === undefined) throw isGone(transfer.remote);
  const target = basename(transfer.local);
  progress.expect(1, file.sizeBytes);
  const there = await local.look(target);
  if (there?.sizeBytes === file.sizeBytes && file.md5 === (await local.md5Of(there))) {
    if (there.modifiedMs !== file.modifiedMs && !transfer.isDryRun)
      await local.setModified(target, file.modifiedMs);
    report.unchanged += 1;
    return report;
  }
  if (!transfer.isDryRun) await endsOfPull(folders).write(file, there, target);
  (there === undefined ? report.created : report.updated).push(target);
  report.bytes = file.sizeBytes;
  return report;
}

async function mustStat(session: Session, path: FilePath): Promise<StatAnswer> {
  const found = await statOf(session, path);
  if (found === undefined) throw isGone(path);
  return found;
}

async function statOf(session: Session, path: FilePath): Promise<StatAnswer | undefined> {
  if (path === rootPath) return undefined;
  const client = new DfsClient(session.api);
  try {
    return await withRetries(() => client.stat(path), { signal: session.api.signal });
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'not-found') return undefined;
    throw error;
  }
}

const isGone = (path: FilePath) =>
  new StoreError('not-found', `Nothing is at ${shown(path)}.`, {
    hint: 'Look at what is there with "dfs ls".',
  });

const isNoFile = (local: string) =>
  new StoreError('invalid-request', `${shown(local)} is neither a file nor a directory.`, {
    hint: 'Name a file or a directory on this machine; links are not followed.',
  });

const isRoot = () =>
  new StoreError('is-a-directory', 'The target is the top directory.', {
    hint: 'Name the file: dfs import report.pdf /report.pdf',
  });

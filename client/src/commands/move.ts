import { type FilePath, rootPath, StoreError } from '@dfs/shared';
import { Failures, namedInMessages } from '../messages.ts';
import { print, printJson } from '../output.ts';
import { isYes } from '../questions.ts';
import { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';
import {
  endsOf,
  refuseJustMade,
  type Transfer,
  type TransferOptions,
  transfersOf,
  whyNotTransferred,
} from './transfers.ts';

/** `dfs mv`: renames or moves files and whole directories. Goes on after a failure. */
export async function move(
  session: Session,
  words: readonly string[],
  options: TransferOptions,
): Promise<void> {
  const client = new DfsClient(session.api);
  const failures = new Failures('mv', options);
  const transfers = await transfersOf({
    session,
    client,
    failures,
    command: 'mv',
    words,
    options,
  });
  const moved = new Map<FilePath, FilePath>();
  for (const transfer of transfers) {
    const { from, to } = transfer;
    if (refuseJustMade(moved, transfer, { failures, options })) continue;
    try {
      if (!(await moveOne({ session, client, options }, transfer))) continue;
      moved.set(to.path, from.path);
      if (options.verbose && !options.json) {
        print(`renamed ${namedInMessages(from.text)} -> ${namedInMessages(to.text)}`);
      }
    } catch (error) {
      failures.add(error, (error as Error).message);
    }
  }
  if (options.json) printJson([...moved].map(([to, from]) => ({ from, to })));
  failures.end();
}

/** Resolves with whether it was moved: it may be left when the name is taken. */
async function moveOne(
  { session, client, options }: { session: Session; client: DfsClient; options: TransferOptions },
  transfer: Transfer,
): Promise<boolean> {
  const { from, to } = transfer;
  const names = `${namedInMessages(from.text)} to ${namedInMessages(to.text)}`;
  if (from.path === rootPath || /(^|\/)\.{1,2}\/?$/.test(from.text)) {
    throw new StoreError('invalid-request', `cannot move ${names}: Device or resource busy`);
  }
  const { fromKind, toKind } = await endsOf(client, transfer, 'move');
  if (toKind !== undefined) {
    if (options.onTaken === 'no-clobber') return false;
    if (fromKind === 'directory') await refuseFull(client, to.path, names);
    const question = `dfs mv: overwrite ${namedInMessages(to.text)}? `;
    if (options.onTaken === 'interactive' && !isYes(await session.ask(question))) return false;
  }
  // A name that somebody takes meanwhile was not asked about.
  const isCareful = options.onTaken === 'no-clobber' || options.onTaken === 'interactive';
  try {
    await client.move(from.path, to.path, { overwrite: toKind !== undefined || !isCareful });
    return true;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    const isTaken = error.kind === 'precondition-failed';
    if (isTaken && options.onTaken === 'no-clobber') return false;
    throw new StoreError(error.kind, `cannot move ${names}: ${whyNotTransferred(error)}`, {
      cause: error,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
  }
}

async function refuseFull(client: DfsClient, path: FilePath, names: string): Promise<void> {
  if ((await client.list(path, { pageSize: 1 }).next()).done) return;
  throw new StoreError('conflict', `cannot move ${names}: Directory not empty`);
}

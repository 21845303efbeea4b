import { childOf, type FilePath, StoreError } from '@dfs/shared';
import { Failures, namedInMessages, reasonOf } from '../messages.ts';
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

export interface CopyOptions extends TransferOptions {
  readonly recursive?: boolean;
}

interface Copying {
  readonly session: Session;
  readonly client: DfsClient;
  readonly options: CopyOptions;
  readonly failures: Failures;
  /** From new name to old, of all that something was copied to. */
  readonly made: Map<FilePath, FilePath>;
  /** New names of what was copied whole. */
  readonly whole: Set<FilePath>;
}

/** `dfs cp`: copies files, and with `-r` directories, into which a directory of the same name is merged. Goes on after a failure. */
export async function copy(
  session: Session,
  words: readonly string[],
  options: CopyOptions,
): Promise<void> {
  const client = new DfsClient(session.api);
  const failures = new Failures('cp', options);
  const transfers = await transfersOf({
    session,
    client,
    failures,
    command: 'cp',
    words,
    options,
  });
  const copying: Copying = {
    session,
    client,
    options,
    failures,
    made: new Map(),
    whole: new Set(),
  };
  for (const transfer of transfers) {
    if (!refuseJustMade(copying.made, transfer, copying)) await copyOne(copying, transfer);
  }
  const { made, whole } = copying;
  if (options.json) printJson([...whole].map((to) => ({ from: made.get(to), to })));
  failures.end();
}

async function copyOne(copying: Copying, transfer: Transfer): Promise<void> {
  const { client, options, failures } = copying;
  const { from, to } = transfer;
  try {
    const { fromKind, toKind } = await endsOf(client, transfer, 'copy');
    if (fromKind === 'directory' && !options.recursive) {
      const text = `-r not specified; omitting directory ${namedInMessages(from.text)}`;
      return failures.refuse('is-a-directory', text);
    }
    if (fromKind === 'directory' && toKind === 'directory') return await merge(copying, transfer);
    if (!(await isFree(copying, transfer, toKind !== undefined))) return;
    const names = `${namedInMessages(from.text)} -> ${namedInMessages(to.text)}`;
    const outcome = await copyAll(copying, transfer, toKind !== undefined);
    if (outcome !== 'nothing') copying.made.set(to.path, from.path);
    if (outcome !== 'whole') return;
    copying.whole.add(to.path);
    if (options.verbose && !options.json) print(names);
  } catch (error) {
    failures.add(error, (error as Error).message);
  }
}

/** What is in the one also gets into the other, which keeps the rest. */
async function merge(copying: Copying, { from, to }: Transfer): Promise<void> {
  copying.made.set(to.path, from.path);
  copying.whole.add(to.path);
  for await (const { name } of copying.client.list(from.path)) {
    const child = (parent: Transfer['from']) => ({
      text: `${parent.text.replace(/\/$/, '')}/${name}`,
      path: childOf(parent.path, name),
    });
    await copyOne(copying, { from: child(from), to: child(to) });
  }
}

async function isFree(
  { session, options }: Copying,
  { to }: Transfer,
  isTaken: boolean,
): Promise<boolean> {
  if (!isTaken) return true;
  if (options.onTaken === 'no-clobber') return false;
  if (options.onTaken !== 'interactive') return true;
  return isYes(await session.ask(`dfs cp: overwrite ${namedInMessages(to.text)}? `));
}

/** Resolves with how much was copied; parts that failed are told. */
async function copyAll(
  { client, options, failures }: Copying,
  { from, to }: Transfer,
  isTaken: boolean,
): Promise<'whole' | 'parts' | 'nothing'> {
  const isCareful = options.onTaken === 'no-clobber' || options.onTaken === 'interactive';
  try {
    const result = await client.copy(from.path, to.path, { overwrite: isTaken || !isCareful });
    for (const { path, error } of result.failures) {
      failures.refuse('internal', `cannot copy to ${namedInMessages(path)}: ${error}`);
    }
    return result.failures.length === 0 ? 'whole' : 'parts';
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    if (error.kind === 'precondition-failed' && options.onTaken === 'no-clobber') return 'nothing';
    const why = error.kind === 'conflict' ? whyNotTransferred(error) : reasonOf(error);
    const text = `cannot copy ${namedInMessages(from.text)} to ${namedInMessages(to.text)}: ${why}`;
    throw new StoreError(error.kind, text, {
      cause: error,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
  }
}

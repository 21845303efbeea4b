import { randomUUID } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { checkName, type FilePath, type PutAnswer, StoreError, urlPathOf } from '@dfs/shared';
import type { StoreApi } from '../api.ts';
import { bytesText, print, printJson, shown } from '../output.ts';
import { noProgress, showProgress } from '../progress.ts';
import type { Session } from '../session.ts';
import { putLocalFile, putStream, wholeBytesMax } from '../upload.ts';

export interface PutCommandOptions {
  readonly to?: string;
  readonly onConflict: 'rename' | 'replace' | 'fail';
  readonly public?: boolean;
  readonly minCopies?: number;
  readonly type?: string;
  readonly json?: boolean;
}

/** What is put where: `local` is a path or `-`; `remote` the asked path in the store. */
interface Upload {
  readonly local: string;
  readonly remote: FilePath;
}

/** `dfs put`: stores files, prints what each became. Goes through all of them; rejects at the end with the first failure. */
export async function put(
  session: Session,
  args: readonly string[],
  options: PutCommandOptions,
): Promise<void> {
  const { api } = session;
  const words = session.ownsStandardInput ? args : await wordsInShell(session, args);
  const uploads = await planUploads(session, words, options.to);
  const answers: PutAnswer[] = [];
  const failures: Failure[] = [];
  for (const upload of uploads) {
    try {
      const answer = await putOne(api, upload, options);
      answers.push(answer);
      if (!options.json) print(lineOf(upload, answer));
    } catch (error) {
      failures.push({ local: upload.local, error });
      // A single one, and with --json all in one, are said by whoever catches it.
      if (uploads.length > 1 && !options.json)
        process.stderr.write(`dfs: ${shown(upload.local)}: ${(error as Error).message}\n`);
    }
  }
  if (options.json && answers.length > 0) printJson(uploads.length === 1 ? answers[0] : answers);
  if (failures.length === 0) return;
  const [first] = failures;
  throw options.json && uploads.length > 1 ? inOne(failures, uploads.length) : first?.error;
}

/** A shell of ours has no other one before it, which would have expanded patterns, and keeps standard input to itself. */
async function wordsInShell(session: Session, args: readonly string[]): Promise<string[]> {
  if (args.includes('-')) {
    throw new StoreError('invalid-request', 'Standard input is read by the shell.', {
      hint: 'Put a file, or pipe to "dfs put -" outside of it.',
    });
  }
  const { localSourcesOf } = await import('../remote-paths/local-sources.ts');
  return args.flatMap((word) => (session.literals.has(word) ? [word] : localSourcesOf(word)));
}

interface Failure {
  readonly local: string;
  readonly error: unknown;
}

/** What became of several files in one error, of the first one's kind. */
function inOne(failures: readonly Failure[], uploadCount: number): StoreError {
  const texts = failures.map(({ local, error }) => `${shown(local)}: ${(error as Error).message}`);
  const first = failures[0]?.error;
  const { kind, hint } = first instanceof StoreError ? first : { kind: 'internal' as const };
  return new StoreError(
    kind,
    `${failures.length} of ${uploadCount} files were not stored. ${texts.join(' ')}`,
    hint === undefined ? {} : { hint },
  );
}

/**
 * Which local file goes where. The target is `--to`, or the last of several arguments when it cannot be meant as a local file: it starts or ends with a slash
 * and no such file is here, or it follows `-`. A target that ends in a slash or in a dot name, or is the target of several files, is a directory.
 */
async function planUploads(
  session: Session,
  args: readonly string[],
  to: string | undefined,
): Promise<Upload[]> {
  const last = args.at(-1) ?? '';
  const isLastTarget = to === undefined && args.length > 1 && (await isTarget(args, last));
  const sources = isLastTarget ? args.slice(0, -1) : args;
  const target = to ?? (isLastTarget ? last : './');
  if (target === '') {
    throw new StoreError('invalid-request', 'The target of the upload is empty.', {
      hint: 'Name a path of the store, such as /2026/final.pdf, or / for the top directory.',
    });
  }
  const isDirectory = /(^|\/)\.{0,2}$/.test(target) || sources.length > 1;
  return sources.map((local) => {
    if (!isDirectory) return { local, remote: session.path(target) };
    if (local === '-') {
      throw new StoreError('invalid-request', 'Standard input has no name.', {
        hint: 'Name the file: dfs put - report.txt',
      });
    }
    return {
      local,
      remote: session.path(`${target}/${checkName(basename(local))}`.replace(/\/+/g, '/')),
    };
  });
}

async function isTarget(args: readonly string[], last: string): Promise<boolean> {
  if (args[0] === '-' && args.length === 2) return true;
  if (!last.startsWith('/') && !last.endsWith('/')) return false;
  const found = await stat(last).catch(() => undefined);
  return found === undefined || found.isDirectory();
}

async function putOne(
  api: StoreApi,
  { local, remote }: Upload,
  options: PutCommandOptions,
): Promise<PutAnswer> {
  const query = new URLSearchParams({ onConflict: options.onConflict });
  if (options.public) query.set('mode', 'public');
  if (options.minCopies !== undefined) query.set('minCopies', String(options.minCopies));
  const path = `/fs${urlPathOf(remote)}?${query}`;
  // One key for all attempts: an upload whose answer was lost is not stored twice.
  const headers = {
    'Idempotency-Key': randomUUID(),
    ...(options.type === undefined ? {} : { 'Content-Type': options.type }),
  };
  if (local === '-') return putStdin(api, path, headers);
  const facts = await stat(local).catch((cause: NodeJS.ErrnoException) => {
    throw new StoreError('invalid-request', `${shown(local)} cannot be read (${cause.code}).`, {
      hint: 'Name a file on this machine.',
      cause,
    });
  });
  if (facts.isDirectory()) {
    throw new StoreError('invalid-request', `${shown(local)} is a directory.`, {
      hint: 'Put its files: dfs put directory/* --to /directory/',
    });
  }
  const sizeBytes = facts.isFile() ? facts.size : undefined;
  const isShort = sizeBytes !== undefined && sizeBytes <= wholeBytesMax;
  const progress = isShort ? noProgress() : showProgress(basename(local), sizeBytes);
  let doneBytes = 0;
  const onBytes = (count: number) => {
    doneBytes += count;
    progress.at(doneBytes);
  };
  const say = options.json ? undefined : progress.say;
  try {
    return await putLocalFile(api, { local, path, headers, sizeBytes, onBytes, say });
  } finally {
    progress.stop();
  }
}

/** What came through a pipe is gone once it was sent: no second attempt. */
async function putStdin(
  api: StoreApi,
  path: string,
  headers: Record<string, string>,
): Promise<PutAnswer> {
  const progress = showProgress('-', undefined);
  let doneBytes = 0;
  const onBytes = (count: number) => {
    doneBytes += count;
    progress.at(doneBytes);
  };
  try {
    return await putStream(api, {
      path,
      headers,
      body: process.stdin,
      sizeBytes: undefined,
      onBytes,
    });
  } finally {
    progress.stop();
  }
}

function lineOf({ remote }: Upload, answer: PutAnswer): string {
  const renamed = answer.path === remote ? '' : ` (${shown(remote)} was taken)`;
  const copies = `${answer.copies.stored} of ${answer.copies.wanted} copies so far`;
  return `${shown(answer.path)}${renamed}  ${bytesText(answer.size)}  md5 ${answer.md5}  on ${answer.primary.name}, ${copies}`;
}

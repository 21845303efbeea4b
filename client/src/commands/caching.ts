import { type CacheOrder, type CacheOutcome, type NodeName, StoreError } from '@dfs/shared';
import type { StoreApi } from '../api.ts';
import { exitCodes } from '../exit-codes.ts';
import { Failures, namedInMessages, reasonOf, ToldFailure } from '../messages.ts';
import { bytesText, print, printJson, printJsonAnswers, printTable } from '../output.ts';
import { allSources } from '../remote-paths/sources.ts';
import { Caches, DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';

/** `dfs hot`. */
export async function listHot(api: StoreApi, { json }: { readonly json?: boolean }): Promise<void> {
  const { limit, files } = await new Caches(api).hot();
  if (json) return printJson({ limit, files });
  if (limit === 0) return print('Hot files are not spread: the master runs with DFS_HOT_READS=0.');
  if (files.length === 0) return print(`No file is read more than ${limit} times a minute.`);
  printTable(
    ['PATH', 'READS/MIN', 'SIZE', 'STORED ON', 'CACHED ON'],
    files.map(({ path, readsPerMinute, size, stored, cached }) => [
      path,
      String(readsPerMinute),
      bytesText(size),
      namesText(stored),
      namesText(cached),
    ]),
  );
}

const namesText = (nodes: readonly NodeName[]) =>
  nodes.length === 0 ? '-' : nodes.map(({ name }) => name).join(', ');

interface CacheOptions {
  readonly on: string;
  readonly priority: string;
  readonly drop?: boolean;
  readonly json?: boolean;
}

/** `dfs cache`. A node that failed makes it end with the code of what may be tried again. */
export async function cachePaths(
  session: Session,
  words: readonly string[],
  options: CacheOptions,
): Promise<void> {
  const order = orderOf(options);
  const client = new DfsClient(session.api);
  const { caches } = client;
  const failures = new Failures('cache', options);
  const failed = (text: string, error: unknown) =>
    failures.add(error, `cannot cache ${namedInMessages(text)}: ${reasonOf(error)}`);
  const sources = await allSources(session, client, words, (error, word) => failed(word, error));
  const all: { readonly path: string; readonly nodes: readonly CacheOutcome[] }[] = [];
  for (const { text, path } of sources) {
    try {
      const nodes = options.drop ? await caches.drop(path) : await caches.order(path, order);
      all.push({ path, nodes });
      if (!options.json && sources.length > 1) print(`${text}:`);
      if (!options.json) printOutcomes(nodes, options);
    } catch (error) {
      failed(text, error);
    }
  }
  if (options.json) printJsonAnswers(all, { words, sources });
  failures.end();
  const isAnyFailed = all.some(({ nodes }) => nodes.some(({ outcome }) => outcome === 'failed'));
  if (isAnyFailed) throw new ToldFailure(exitCodes.unavailable);
}

function printOutcomes(nodes: readonly CacheOutcome[], { drop }: CacheOptions): void {
  if (nodes.length === 0) {
    print(
      drop
        ? 'No node caches anything.'
        : 'No further node can cache it: each stores it, is down, or caches nothing (DFS_CACHE_BYTES).',
    );
    return;
  }
  printTable(
    ['NODE', 'OUTCOME'],
    nodes.map(({ node, outcome, message }) => [
      node.name,
      outcome === 'failed' ? `failed: ${message ?? ''}` : outcomeTexts[outcome],
    ]),
  );
}

const outcomeTexts = {
  stored: 'stores it',
  cached: 'caches it',
  ordered: 'fetches it',
  dropped: 'let go of it',
} as const;

function orderOf({ on, priority }: CacheOptions): CacheOrder {
  if (!/^-?\d+$/.test(priority) || Math.abs(Number(priority)) > 20) {
    throw new StoreError('invalid-request', `cache: ${JSON.stringify(priority)} is no priority.`, {
      hint: 'Give a whole number from -20 to 20.',
    });
  }
  if (/^-?\d+$/.test(on) && Number(on) < 1) {
    throw new StoreError('invalid-request', `cache: ${on} is no number of nodes.`, {
      hint: 'Give "all", a number from 1 on, or the name or id of a node.',
    });
  }
  return { on: /^\d+$/.test(on) ? Number(on) : on, priority: Number(priority) };
}

import { once } from 'node:events';
import { endProcess, forkProgram } from './child-process.ts';
import type { RequestTarget } from './http-request.ts';
import { MemorySampler, type ProcessName } from './process-memory.ts';
import { seedFiles } from './seeded-tree.ts';
import { median } from './statistics.ts';
import { statusMustBe, treeRequest } from './tree-requests.ts';
import { rowOf, type TreeRow } from './tree-row.ts';

const listedFiles = 100_000;
const rounds = 5;
/** Of a bare process that streams the same rows. */
const ofBareAtLeast = 0.3;
/** How much more memory ten times as many paths may take. */
const memoryAtMost = 1.5;
const patienceMs = 5_000;

export interface ListingBench {
  readonly target: RequestTarget;
  readonly sqliteFile: string;
  readonly processes: readonly ProcessName[];
  say(line: string): void;
}

/** Lists a directory of 100 000 files beside a bare process, then finds all there is: it follows `measureMoves`, which leaves many files. */
export async function measureListing(bench: ListingBench): Promise<TreeRow[]> {
  const { target, sqliteFile, say } = bench;
  const directory = 'listed';
  statusMustBe(201, await treeRequest(target, 'MKCOL', `/fs/${directory}`));
  say(`putting ${listedFiles} names into a directory`);
  await seedFiles(sqliteFile, { directory, files: listedFiles });
  const bare = await startBareListing(sqliteFile);
  try {
    say('listing it, and finding what is in it');
    const rates = { listed: [] as number[], found: [] as number[], bare: [] as number[] };
    for (let round = -1; round < rounds; round += 1) {
      const listed = await ratePerSecond(() => listAll(target, directory));
      const found = await ratePerSecond(() => countLines(target, `/find/${directory}/`));
      const plain = await ratePerSecond(() => countLines(bare.target, `/${directory}`));
      // The first ones warm up.
      if (round < 0) continue;
      rates.listed.push(listed);
      rates.found.push(found);
      rates.bare.push(plain);
    }
    const row = (title: string, ours: number[]) =>
      rowOf({
        title,
        ours: median(ours),
        reference: median(rates.bare),
        referenceName: 'a bare process',
        unit: 'names/s',
        bound: { atLeast: ofBareAtLeast },
      });
    return [
      row(`listing a directory of ${listedFiles} files`, rates.listed),
      row('finding the paths in it', rates.found),
      await measureMemory(bench, directory),
    ];
  } finally {
    await bare.stop();
  }
}

async function measureMemory(bench: ListingBench, directory: string): Promise<TreeRow> {
  const { target, processes, say } = bench;
  const master = processes.filter(({ name }) => name === 'master');
  const peakOf = async (path: string) => {
    const sampler = new MemorySampler(master);
    const count = await countLines(target, path);
    const bytes = (await sampler.stop())['master']?.sampledPeakBytes ?? Number.NaN;
    return { count, mebibytes: bytes / 2 ** 20 };
  };
  say('finding everything');
  const few = await peakOf(`/find/${directory}/`);
  const all = await peakOf('/find/');
  return rowOf({
    title: `the master's memory while it finds ${all.count} paths`,
    ours: all.mebibytes,
    reference: few.mebibytes,
    referenceName: `for ${few.count}`,
    unit: 'MiB',
    bound: { atMost: memoryAtMost },
  });
}

async function ratePerSecond(count: () => Promise<number>): Promise<number> {
  const startedAtMs = performance.now();
  const names = await count();
  if (names !== listedFiles) throw new Error(`${names} names came instead of ${listedFiles}.`);
  return names / ((performance.now() - startedAtMs) / 1_000);
}

/** Page by page, as long as pages may be. */
async function listAll(target: RequestTarget, directory: string): Promise<number> {
  let count = 0;
  for (let after: string | undefined = ''; after !== undefined; ) {
    const query = `format=json&limit=10000&after=${encodeURIComponent(after)}`;
    const answer = await treeRequest(target, 'GET', `/fs/${directory}/?${query}`);
    statusMustBe(200, answer);
    const page = JSON.parse(answer.text) as { entries: unknown[]; next?: string };
    count += page.entries.length;
    after = page.next;
  }
  return count;
}

/** Holds none of them. */
async function countLines(target: RequestTarget, path: string): Promise<number> {
  const { host, port, authorization } = target;
  const answer = await fetch(`http://${host}:${port}${path}`, {
    headers: authorization === undefined ? {} : { authorization },
  });
  if (answer.status !== 200 || !answer.body) throw new Error(`${path}: ${answer.status}`);
  let count = 0;
  for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
    for (let at = chunk.indexOf(0x0a); at >= 0; at = chunk.indexOf(0x0a, at + 1)) count += 1;
  }
  return count;
}

async function startBareListing(
  sqliteFile: string,
): Promise<{ target: RequestTarget; stop(): Promise<void> }> {
  const child = forkProgram('bare-listing', { DFS_BENCH_SQLITE: sqliteFile });
  const started = once(child, 'message').then(([message]) => message as { port: number });
  const died = once(child, 'exit').then(() => {
    throw new Error('The bare process ended before it listened.');
  });
  const { port } = await Promise.race([started, died]);
  died.catch(() => {});
  return {
    target: { host: '127.0.0.1', port },
    stop: async () => {
      await endProcess(child, 'SIGTERM', patienceMs);
    },
  };
}

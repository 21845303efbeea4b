import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { inNewDirectory, runAsProgram, sayAs } from './bench-program.ts';
import { endProcess } from './child-process.ts';
import { type Cluster, cleanEnvironment, dfsCommand, startCluster } from './cluster.ts';
import { currentCommit, resultsDirectory } from './results.ts';

const usage = `npm run bench:restore -- [options]

Three real storage nodes and a master: so many small files are stored over HTTP, the journal is shipped, everything is stopped, the
master's database is deleted, and dfs restore rebuilds it. Measured is the master's work from its first change to its last (report,
"seconds"). Every path, size, time and MD5 of the listing is compared with the one before, and 200 files are read. Exit code 1: a difference.

  --files N          files (100000)
  --copies N         copies of each (1)
  --without-journal  what nodes keep of the journal is deleted, too: only what blobs say of themselves is left
  --dir DIR          where the store lies (bench/results, which is on a disk)
  --json             prints the result as JSON
`;

const flags = {
  files: { type: 'string', default: '100000' },
  copies: { type: 'string', default: '1' },
  'without-journal': { type: 'boolean', default: false },
  dir: { type: 'string', default: resultsDirectory },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

const filesPerDirectory = 500;
const lanes = 24;
const filesRead = 200;
const waitMaxMs = 600_000;

interface Target {
  readonly host: string;
  readonly port: number;
  readonly authorization: string;
}

interface Report {
  readonly base: string;
  readonly files: number;
  readonly seconds: number;
  readonly journal: { readonly records: number };
}

async function main(argv: string[]): Promise<number> {
  const { values } = parseArgs({ args: argv, options: flags });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  return inNewDirectory(values.dir, 'restore', async (directory) => {
    const outcome = await measure(directory, {
      files: Number(values.files),
      copies: Number(values.copies),
      hasJournal: !values['without-journal'],
    });
    const result = {
      startedAt: new Date().toISOString(),
      commit: await currentCommit(),
      ...outcome,
    };
    const text = `${JSON.stringify(result, undefined, 2)}\n`;
    await writeFile(
      join(resultsDirectory, `restore-${result.startedAt.replaceAll(':', '-')}.json`),
      text,
    );
    process.stdout.write(
      values.json
        ? text
        : `${outcome.files} files restored in ${outcome.seconds} s from ${outcome.base}: ${outcome.filesPerSecond} files/s; ${outcome.differences} differences\n`,
    );
    return outcome.differences === 0 ? 0 : 1;
  });
}

async function measure(
  directory: string,
  options: { files: number; copies: number; hasJournal: boolean },
) {
  const cluster = await startCluster({ directory, copies: options.copies });
  let before: ReadonlyMap<string, string>;
  try {
    say(`storing ${options.files} files`);
    await fill(cluster.target, options.files);
    await waitUntilShipped(cluster.target);
    before = await listingOf(cluster.target);
  } finally {
    await cluster.stop();
  }
  const data = join(directory, 'data');
  for (const name of ['metadata.sqlite', 'metadata.sqlite-wal', 'metadata.sqlite-shm']) {
    await rm(join(data, 'master', name), { force: true });
  }
  if (!options.hasJournal) {
    for (const node of [1, 2, 3]) {
      await rm(join(data, `node-${node}`, 'journal'), { recursive: true, force: true });
    }
  }
  const again = await startInRecovery(directory, cluster, options.copies);
  try {
    say('restoring');
    const report = await restore(again.target, { acceptLoss: !options.hasJournal });
    const after = await listingOf(again.target);
    // Without a journal a directory's time is that of its rebuilding.
    const differences = options.hasJournal
      ? differencesOf(before, after)
      : differencesOf(filesOf(before), filesOf(after));
    await readSome(again.target, options.files);
    return {
      files: report.files,
      base: report.base,
      records: report.journal.records,
      seconds: report.seconds,
      filesPerSecond: Math.round(report.files / report.seconds),
      differences,
    };
  } finally {
    await endProcess(again.child, 'SIGINT', 30_000);
  }
}

/** What a file holds: its number, so that what is read can be judged. */
const contentOf = (number: number) => Buffer.from(`file ${number}\n`);
const pathOf = (number: number) =>
  `/fs/bench/${Math.floor(number / filesPerDirectory)}/${number}.txt`;

async function fill(target: Target, count: number): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < count) {
      const number = next;
      next += 1;
      const answer = await send(target, 'PUT', pathOf(number), contentOf(number));
      const text = await textOf(answer);
      if (answer.statusCode !== 201) throw new Error(`A PUT was answered ${text}`);
      if (number > 0 && number % 10_000 === 0) say(`${number} stored`);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

/** Resolves once every node that keeps the journal has all of it. */
async function waitUntilShipped(target: Target): Promise<void> {
  for (const endAtMs = performance.now() + waitMaxMs; performance.now() < endAtMs; ) {
    const text = await textOf(await send(target, 'GET', '/metrics'));
    const lags = [...text.matchAll(/^dfs_journal_lag_records\{.*\} (\d+)$/gm)];
    if (lags.length > 1 && lags.every(([, count]) => count === '0')) return;
    await delay(200);
  }
  throw new Error('The journal was not shipped.');
}

/** Every path with all that the listing tells of it. */
async function listingOf(target: Target): Promise<ReadonlyMap<string, string>> {
  const answer = await send(target, 'GET', '/find/?format=json');
  if (answer.statusCode !== 200) throw new Error(`The listing failed: ${await textOf(answer)}`);
  const listing = new Map<string, string>();
  for await (const line of createInterface({ input: answer })) {
    listing.set((JSON.parse(line) as { path: string }).path, line);
  }
  return listing;
}

const filesOf = (listing: ReadonlyMap<string, string>) =>
  new Map(
    [...listing].flatMap(([path, line]): [string, string][] => {
      const { kind, size, md5 } = JSON.parse(line) as { kind: string; size: number; md5: string };
      return kind === 'file' ? [[path, `${size} ${md5}`]] : [];
    }),
  );

function differencesOf(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): number {
  const paths = new Set([...a.keys(), ...b.keys()]);
  const different = [...paths].filter((path) => a.get(path) !== b.get(path));
  for (const path of different.slice(0, 5)) say(`different: ${a.get(path)} and ${b.get(path)}`);
  return different.length;
}

async function readSome(target: Target, count: number): Promise<void> {
  for (let i = 0; i < filesRead; i += 1) {
    const number = Math.floor((i * count) / filesRead);
    const text = await textOf(await send(target, 'GET', pathOf(number)));
    const [got, wanted] = [text, contentOf(number).toString()].map((content) =>
      createHash('md5').update(content).digest('hex'),
    );
    if (got !== wanted) throw new Error(`${pathOf(number)} has the wrong content: ${text}`);
  }
}

/** The same store without its database: `dfs up` says where its master answers. */
async function startInRecovery(
  directory: string,
  { target }: Cluster,
  copies: number,
): Promise<{ child: ChildProcess; target: Target }> {
  const child = spawn(
    process.execPath,
    [
      ...[dfsCommand, 'up', '--data', join(directory, 'data'), '--nodes', '3'],
      ...['--port', '0', '--no-restart', '--copies', String(copies)],
    ],
    { env: cleanEnvironment(join(directory, 'config')), stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const key = (await readFile(join(directory, 'data', 'cluster.key'), 'utf8')).trim();
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /DFS_URL=(\S+) dfs restore/.exec(line)?.[1];
    if (url === undefined) continue;
    child.stdout.resume();
    const { hostname, port } = new URL(url);
    return {
      child,
      target: { ...target, host: hostname, port: Number(port), authorization: `Bearer ${key}` },
    };
  }
  throw new Error('The store did not notice that its database is missing.');
}

async function restore(target: Target, { acceptLoss }: { acceptLoss: boolean }): Promise<Report> {
  const answer = await send(target, 'POST', `/api/v1/restore${acceptLoss ? '?acceptLoss=1' : ''}`);
  for await (const text of createInterface({ input: answer })) {
    const line = JSON.parse(text) as { report?: Report; error?: { message: string } };
    if (line.report) return line.report;
    if (line.error) throw new Error(line.error.message);
  }
  throw new Error('The restore broke off.');
}

const agent = new Agent({ keepAlive: true, maxSockets: lanes });

function send(
  { host, port, authorization }: Target,
  method: string,
  path: string,
  body?: Buffer,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { authorization, 'content-length': String(body?.length ?? 0) };
    const request = httpRequest({ host, port, method, path, headers, agent }, resolve);
    request.once('error', reject);
    request.end(body);
  });
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

const say = sayAs('restore');

runAsProgram('restore', (argv) => main(argv).finally(() => agent.destroy()));

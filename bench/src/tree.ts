import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { inNewDirectory, runAsProgram, sayAs } from './bench-program.ts';
import { startCluster } from './cluster.ts';
import { currentCommit, resultsDirectory } from './results.ts';
import { measureListing } from './tree-listing.ts';
import { measureMoves } from './tree-moves.ts';
import { type TreeRow, textOfRows } from './tree-row.ts';

const usage = `npm run bench:tree -- [options]

What is done to directories, whatever is in them. Missed (exit code 1): a ratio that is not kept.

  --files N        files in the large directory (1000000)
  --rounds N       moves of each directory (200)
  --dir DIR        where the store lies (bench/results, which is on a disk)
  --json           prints the result as JSON
`;

const flags = {
  files: { type: 'string', default: '1000000' },
  rounds: { type: 'string', default: '200' },
  dir: { type: 'string', default: resultsDirectory },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

async function main(argv: string[]): Promise<number> {
  const { values } = parseArgs({ args: argv, options: flags });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  return inNewDirectory(values.dir, 'tree', async (directory) => {
    const settings = { files: Number(values.files), rounds: Number(values.rounds) };
    const startedAt = new Date().toISOString();
    const rows = await measure(directory, settings);
    const machine = { processors: cpus().length, processor: cpus()[0]?.model.trim() ?? 'unknown' };
    const report = { startedAt, commit: await currentCommit(), machine, settings, rows };
    const text = `${JSON.stringify(report, undefined, 2)}\n`;
    await mkdir(resultsDirectory, { recursive: true });
    await writeFile(join(resultsDirectory, `tree-${startedAt.replaceAll(':', '-')}.json`), text);
    process.stdout.write(values.json ? text : `\n${textOfRows(rows)}`);
    return rows.every((row) => row.isMet) ? 0 : 1;
  });
}

async function measure(
  directory: string,
  settings: { files: number; rounds: number },
): Promise<TreeRow[]> {
  say('starting a cluster');
  const cluster = await startCluster({ directory, copies: 1, nodes: 1 });
  try {
    const bench = {
      ...settings,
      target: cluster.target,
      sqliteFile: join(directory, 'data', 'master', 'metadata.sqlite'),
      say,
    };
    const { processes } = cluster;
    return [...(await measureMoves(bench)), ...(await measureListing({ ...bench, processes }))];
  } finally {
    await cluster.stop();
  }
}

const say = sayAs('tree');

runAsProgram('tree', main);

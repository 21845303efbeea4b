import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { contentOf } from './harness/content.ts';
import { temporaryDirectory } from './harness/guard.ts';
import { type CopyableBlock, readBlocks, Shell } from './harness/pasted-lines.ts';
import { childrenOf, type Program, startDfs, userEnvironment } from './harness/program.ts';
import { freePort } from './harness/separate-programs.ts';
import { waitUntil } from './harness/wait-until.ts';

/** The page as it stands in the repository: what it says is what is tested. */
const page = new URL('../../../docs/http-api.md', import.meta.url);
const blocks = readBlocks(readFileSync(page, 'utf8'));

const key = 'BasicPassword';
/** The ports of the page, and what they are here. */
const ports = new Map<string, number>();
const instances = new Map<string, Program>();
let folder: string;
let managementPort: string;
let shell: Shell;

const here = (text: string) =>
  text.replace(/\b(7110|7510|7511)\b/g, (port) => String(ports.get(port)));
const master = () => `http://127.0.0.1:${ports.get('7110')}`;

function start(args: readonly string[], environment: Readonly<Record<string, string>>): Program {
  return startDfs(args, {
    cwd: folder,
    environment: {
      ...userEnvironment(join(folder, `home of ${args[args.indexOf('--name') + 1]}`)),
      DFS_HEARTBEAT_EVERY: '200ms',
      DFS_NODE_TIMEOUT: '2s',
      DFS_MANAGEMENT_PORT: managementPort,
      ...environment,
    },
  });
}

/** Starts what a line of the page starts: `SHARD_KEY=… dfs instance --name …`. */
async function startInstance(line: string): Promise<void> {
  const [assignment = '', command, ...args] = here(line).split(' ');
  expect([assignment, command]).toEqual([`SHARD_KEY=${key}`, 'dfs']);
  const name = args[args.indexOf('--name') + 1] ?? '';
  instances.set(name, start(args, { SHARD_KEY: key }));
  await waitUntil(`${name} is registered`, async () => {
    const headers = { 'shard-key': key };
    const answer = await fetch(`${master()}/api/v1/registered_instances`, { headers });
    return name in ((await answer.json()) as object);
  });
}

/** Once all files have a copy elsewhere, as the page promises for a moment later. */
async function killInstance(name: string): Promise<void> {
  const instance = instances.get(name);
  if (!instance) throw new Error(`No ${name} was started.`);
  const isFirst = [...instances.values()].every(({ hasEnded }) => !hasEnded);
  if (isFirst) {
    await waitUntil('every file has its copies', async () => {
      const headers = { authorization: `Bearer ${key}` };
      const status = await (await fetch(`${master()}/api/v1/status`, { headers })).json();
      return (status as { health: string }).health === 'whole';
    });
  }
  for (const pid of [...childrenOf(instance.pid), instance.pid]) process.kill(pid, 'SIGKILL');
  await instance.finished;
}

beforeAll(async () => {
  folder = temporaryDirectory('http-api');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'video.mp4'), contentOf('video', 300_000));
  writeFileSync(join(folder, 'another_video.mp4'), contentOf('another', 200_000));
  for (const port of ['7110', '7510', '7511']) ports.set(port, await freePort());
  managementPort = String(await freePort());
  shell = new Shell(folder);
});
afterAll(async () => {
  await shell?.close();
  for (const instance of [...instances.values()].reverse())
    await instance.stop().catch(() => undefined);
});

/** Docker is for `npm run test:compose`; the same is started by the lines beside it. */
const tested = blocks.filter(({ kind }) => kind !== 'docker');

/** Of the page's sections, that which ends the first instance. */
const isLast = ({ section }: CopyableBlock) => section === 'Without the first instance';

it.each(tested.filter((block) => !isLast(block)))('$section: $title', follow);

it('an instance with another key does not join, and both sides say so', async () => {
  const other = start(['instance', '--name', 'Other', '--port', '0', '--data', 'other'], {
    SHARD_KEY: 'another',
    GOSSIP_INSTANCE: `127.0.0.1:${ports.get('7110')}`,
  });
  expect((await other.finished).code).toBe(1);
  expect(other.output).toContain('refused the key of this node');
  const headers = { 'shard-key': key };
  const log = await (await fetch(`${master()}/api/v1/logs`, { headers })).text();
  expect(log).toContain('a node was refused: it does not have the key of this cluster');
});

it('an instance beside another store names the setting for the port that is taken', async () => {
  const other = start(['instance', '--name', 'Other', '--port', '0', '--data', 'beside'], {
    SHARD_KEY: key,
  });
  expect((await other.finished).code).toBe(1);
  expect(other.output).toContain(`Port ${managementPort}, at which nodes report, is taken`);
  expect(other.output).toContain('DFS_MANAGEMENT_PORT');
});

it('an instance finds its files and its name again after a stop', async () => {
  const stopped = await instances.get('Kalahari')?.stop();
  expect(stopped?.code).toBe(0);
  const [line = ''] = tested.find(({ kind }) => kind === 'instance')?.lines ?? [];
  await startInstance(line);
  const health = (await (await fetch(`${master()}/api/v1/health`)).json()) as { instance: string };
  expect(health.instance).toBe('Kalahari');
  const streamed = await fetch(`${master()}/api/v1/stream/video.mp4`);
  expect((await streamed.arrayBuffer()).byteLength).toBe(300_000);
});

it.each(tested.filter(isLast))('$section: $title', follow);

/** Does what the page says, and looks at what comes of it. */
async function follow({ kind, lines, expected }: CopyableBlock): Promise<void> {
  if (kind === 'instance') for (const line of lines) await startInstance(line);
  else if (kind === 'kill') await killInstance(lines[0] ?? '');
  else {
    const { output, status } = await shell.paste(here(lines.join('\n')));
    expect(output.trimEnd()).toMatch(expected);
    expect(status).toBe(0);
  }
}

import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { temporaryDirectory } from './harness/guard.ts';
import { type Program, startDfs, userEnvironment } from './harness/program.ts';
import { freePort } from './harness/separate-programs.ts';
import { waitUntil } from './harness/wait-until.ts';

const key = 'BasicPassword';
const started: Program[] = [];
let home: string;
let port: number;
let first: Program;

/** One instance as a container runs it, with ports of its own. */
function start(name: string, more: Readonly<Record<string, string>> = {}): Program {
  const data = join(home, name);
  const one = startDfs(['instance', '--data', data, '--port', more['port'] ?? '0'], {
    environment: {
      ...userEnvironment(join(data, 'home')),
      INSTANCE_NAME: name,
      SHARD_KEY: key,
      DFS_PORT: '0',
      DFS_HEARTBEAT_EVERY: '100ms',
      ...more,
    },
  });
  started.push(one);
  return one;
}

const call = (path: string, init: RequestInit = {}) =>
  fetch(`http://127.0.0.1:${port}/api/v1/${path}`, { ...init, headers: { 'shard-key': key } });

beforeAll(async () => {
  home = temporaryDirectory('instances');
  port = await freePort();
  first = start('Kalahari', { port: String(port) });
  await first.printed(/^dfs serves at http:\/\/127\.0\.0\.1:\d+, node Kalahari;/m);
});
afterAll(async () => {
  for (const one of started.reverse()) await one.stop().catch(() => undefined);
});

describe('instances', () => {
  it('are a store by themselves, under their name and with their key', async () => {
    const health = (await (await call('health')).json()) as { instance: string };
    expect(health.instance).toBe('Kalahari');
    const form = new FormData();
    form.set('file', new Blob(['a video']), 'video.mp4');
    form.set('filename', 'video.mp4');
    const stored = await call('store', { method: 'POST', body: form });
    expect(await stored.text()).toBe('Kalahari@video.mp4');
    const streamed = await fetch(`http://127.0.0.1:${port}/api/v1/stream/Kalahari@video.mp4`);
    expect(await streamed.text()).toBe('a video');
  });

  it('join one another by a public port and the key', async () => {
    start('Sahara', { GOSSIP_INSTANCE: `127.0.0.1:${port}` });
    const instances = await waitUntil('both instances are registered', async () => {
      const answer = await (await call('registered_instances')).json();
      return 'Sahara' in (answer as object) ? answer : undefined;
    });
    expect(instances).toMatchObject({
      Kalahari: { instance_name: 'Kalahari', healthy: true },
      Sahara: { instance_name: 'Sahara', healthy: true },
    });
  });

  it('do not join with another key, and both sides say so', async () => {
    const other = start('Other', { GOSSIP_INSTANCE: `127.0.0.1:${port}`, SHARD_KEY: 'another' });
    expect((await other.finished).code).toBe(1);
    expect(other.output).toContain('refused the key of this node');
    const log = await (await call('logs')).text();
    expect(log).toContain('a node was refused: it does not have the key of this cluster');
  });

  it('find their files and their name again after a stop', async () => {
    expect((await first.stop()).code).toBe(0);
    first = start('Kalahari', { port: String(port) });
    await first.printed(/^dfs serves at/m);
    expect(await (await call('stream/video.mp4')).text()).toBe('a video');
  });
});

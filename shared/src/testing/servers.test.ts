import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { finished } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { startPostgres, startRedis } from './servers.ts';

const redis = await startRedis();
const postgres = await startPostgres();
afterAll(async () => {
  await redis?.stop();
  await postgres?.stop();
});

/** Sends bytes and resolves with the first that come back. */
async function firstAnswer(url: string, message: Uint8Array | string): Promise<Buffer> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  socket.write(message);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return answer;
}

/** PostgreSQL's start-up message (protocol 3.0) for user and database `postgres`. */
function startupMessage(): Buffer {
  const fields = Buffer.from('user\0postgres\0database\0postgres\0\0');
  const head = Buffer.alloc(8);
  head.writeInt32BE(8 + fields.length, 0);
  head.writeInt32BE(196_608, 4);
  return Buffer.concat([head, fields]);
}

describe.skipIf(!redis)('a Redis for tests', () => {
  it('keeps its data over a crash', async () => {
    const { url, kill, restart } = redis as NonNullable<typeof redis>;
    expect((await firstAnswer(url, 'SET key value\r\n')).toString()).toBe('+OK\r\n');
    await kill();
    await expect(firstAnswer(url, 'PING\r\n')).rejects.toThrow('ECONNREFUSED');
    await restart();
    expect((await firstAnswer(url, 'GET key\r\n')).toString()).toBe('$5\r\nvalue\r\n');
  });

  it('does not outlive a process that is killed', async () => {
    const script = `
      import { startRedis } from ${JSON.stringify(fileURLToPath(new URL('./servers.ts', import.meta.url)))};
      process.stdout.write((await startRedis()).url);
      setInterval(() => undefined, 1_000);
    `;
    const owner = spawn(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', script],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    const [url] = (await once(owner.stdout, 'data')) as [Buffer];
    const { hostname, port } = new URL(url.toString());
    const client = connect(Number(port), hostname);
    await once(client, 'connect');
    owner.kill('SIGKILL');
    const end = await finished(client.resume()).then(
      () => 'the end',
      (error: NodeJS.ErrnoException) => error.code,
    );
    expect(['the end', 'ECONNRESET']).toContain(end);
  });
});

describe.skipIf(!postgres)('a PostgreSQL for tests', () => {
  it('lets its user in, also after a crash', async () => {
    const { url, kill, restart } = postgres as NonNullable<typeof postgres>;
    expect((await firstAnswer(url, startupMessage())).toString('latin1', 0, 1)).toBe('R');
    await kill();
    await restart();
    expect((await firstAnswer(url, startupMessage())).toString('latin1', 0, 1)).toBe('R');
  });
});

import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { ConfigurationError } from './environment.ts';
import { listen } from './listen.ts';

const servers: ReturnType<typeof createServer>[] = [];
function newServer() {
  const server = createServer();
  servers.push(server);
  return server;
}
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

describe('a listener', () => {
  it('tells the port that it got', async () => {
    const port = await listen(newServer(), { host: '127.0.0.1', port: 0 });
    expect(port).toBeGreaterThan(0);
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.destroy();
  });

  it('listens on all addresses when none is named', async () => {
    const server = newServer();
    await listen(server, { port: 0 });
    expect(server.address()).toMatchObject({ address: expect.stringMatching(/^(::|0\.0\.0\.0)$/) });
  });

  it('says in one line that the port is taken, and can be tried with another', async () => {
    const port = await listen(newServer(), { host: '127.0.0.1', port: 0 });
    const server = newServer();
    const taken = listen(server, { host: '127.0.0.1', port });
    await expect(taken).rejects.toThrow(ConfigurationError);
    await expect(taken).rejects.toThrow(
      `Port ${port} of 127.0.0.1 is taken by another program: choose another port, or stop that program.`,
    );
    expect(await listen(server, { host: '127.0.0.1', port: 0 })).not.toBe(port);
  });

  it.each(['192.0.2.1', 'no-such-host.invalid'])(
    'says in one line that %s is no address of this machine',
    async (host) => {
      const refused = listen(newServer(), { host, port: 0 });
      await expect(refused).rejects.toThrow(ConfigurationError);
      await expect(refused).rejects.toThrow(/^Port 0 of [^\n]* cannot be opened: [^\n]*\.$/);
    },
  );
});

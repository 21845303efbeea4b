import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { HttpConnection, headerOf } from './http-connection.ts';
import { type CollectedAnswer, collectAnswer } from './http-request.ts';

const servers: Server[] = [];
const connections: HttpConnection[] = [];

afterEach(async () => {
  for (const connection of connections.splice(0)) connection.close();
  for (const server of servers.splice(0)) {
    server.close();
    await once(server, 'close');
  }
});

/** A server that gives `reply` the socket as soon as anything arrived on it. */
async function connectTo(reply: (socket: Socket, request: Buffer) => void) {
  const server = createServer((socket) => {
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('data', (bytes) => reply(socket, bytes));
  }).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  const connection = await HttpConnection.open('127.0.0.1', (server.address() as AddressInfo).port);
  connections.push(connection);
  return connection;
}

function ask(connection: HttpConnection): Promise<CollectedAnswer | Error> {
  return collectAnswer((handler) => connection.exchange('GET / HTTP/1.1\r\n\r\n', handler));
}

async function writeByteByByte(socket: Socket, text: string): Promise<void> {
  for (const character of text) {
    socket.write(character);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('HttpConnection', () => {
  it('reads one answer after another on one connection', async () => {
    let count = 0;
    const connection = await connectTo((socket) => {
      count += 1;
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbody ${count}`);
    });
    expect(await ask(connection)).toMatchObject({ head: { status: 200 }, text: 'body 1' });
    expect(await ask(connection)).toMatchObject({ head: { status: 200 }, text: 'body 2' });
  });

  it('reads an answer that arrives a byte at a time', async () => {
    const connection = await connectTo((socket) => {
      void writeByteByByte(socket, 'HTTP/1.1 201 Created\r\ncontent-LENGTH:4\r\n\r\nabcd');
    });
    expect(await ask(connection)).toMatchObject({ head: { status: 201 }, text: 'abcd' });
  });

  it.each(['at once', 'a byte at a time'])('takes chunks apart that arrive %s', async (how) => {
    const answer =
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' +
      '3;name=value\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n';
    const connection = await connectTo((socket) => {
      if (how === 'at once') socket.write(answer);
      else void writeByteByByte(socket, answer);
    });
    expect(await ask(connection)).toMatchObject({ text: 'abc0123456789' });
    expect(await ask(connection)).toMatchObject({ text: 'abc0123456789' });
  });

  it('ends at once where the length is zero', async () => {
    const connection = await connectTo((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    });
    expect(await ask(connection)).toMatchObject({ text: '' });
  });

  it.each([
    ['the body stops short', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc', /closed/],
    ['the head stops short', 'HTTP/1.1 200 OK\r\nContent-Le', /closed/],
    ['the body is too long', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc', /longer/],
    ['no length is known', 'HTTP/1.1 200 OK\r\n\r\nabc', /neither/],
    [
      'a chunk has no size',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n',
      /malformed/,
    ],
  ])('reports an error when %s', async (_name, bytes, message) => {
    const connection = await connectTo((socket) => socket.end(bytes));
    const answer = await ask(connection);
    expect(answer).toBeInstanceOf(Error);
    expect((answer as Error).message).toMatch(message);
    expect(connection.isOpen).toBe(false);
  });

  it('sends a stream whole and in order', async () => {
    const chunks = Array.from({ length: 5 }, (_, index) => Buffer.alloc(1024 * 1024, index));
    const head = 'PUT / HTTP/1.1\r\n\r\n';
    const parts: Buffer[] = [];
    const connection = await connectTo((socket, bytes) => {
      parts.push(bytes);
      const received = parts.reduce((sum, part) => sum + part.length, 0);
      if (received < head.length + 5 * 1024 * 1024) return;
      socket.write('HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n');
    });
    const answer = await collectAnswer((handler) =>
      connection.exchangeStream(head, chunks, handler),
    );
    expect(answer).toMatchObject({ head: { status: 201 } });
    expect(Buffer.concat(parts).subarray(head.length).equals(Buffer.concat(chunks))).toBe(true);
  });

  it('finds a header whatever its case', () => {
    const head = { status: 307, text: 'HTTP/1.1 307 X\r\nA: 1\r\nLOCATION:  http://b:1/c ' };
    expect(headerOf(head, 'location')).toBe('http://b:1/c');
    expect(headerOf(head, 'etag')).toBeUndefined();
  });
});

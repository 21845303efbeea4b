import type { Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { listen } from '../listen.ts';
import { recordingLogger } from '../testing/recording-logger.ts';
import { HttpExchange } from './exchange.ts';
import { createFrontServer } from './front-server.ts';

/** What the server took for requests: method, target and body. */
let served: string[];
let server: Server;
let port: number;
const sockets: Socket[] = [];

beforeEach(async () => {
  served = [];
  ({ server } = createFrontServer({
    logger: recordingLogger().logger,
    metrics: { requestEnded: () => undefined },
    exchangeOf: (...request) => new HttpExchange(...request),
    async serve({ request, response, target }) {
      // As a refusal does, this one is answered before its body was read.
      const body = target.path === '/unread' ? '' : await text(request);
      served.push(`${request.method} ${target.path} ${body}`.trim());
      response.end('served\n');
    },
  }));
  port = await listen(server, { port: 0, host: '127.0.0.1' });
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server.closeAllConnections();
  server.close();
});

function connection(): Socket {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => undefined);
  sockets.push(socket);
  return socket;
}

/** Sends these bytes and nothing more; all that came back when the other side is done. */
async function answersTo(bytes: string): Promise<string> {
  const socket = connection();
  socket.end(Buffer.from(bytes, 'latin1'));
  return (await buffer(socket)).toString('latin1');
}

const second = 'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n';
const chunk = `${second.length.toString(16)}\r\n${second}\r\n0\r\n\r\n`;
const post = (...headers: string[]) =>
  `POST /first HTTP/1.1\r\n${['Host: x', ...headers].join('\r\n')}`;

it('a header behind two thousand others counts', async () => {
  const many = 'a: b\r\n'.repeat(2_100);
  // Without its host the request would be refused.
  const bytes = `GET /many HTTP/1.1\r\n${many}Host: x\r\nConnection: close\r\n\r\n`;
  expect(await answersTo(bytes)).toMatch(/^HTTP\/1.1 200 /);
  expect(served).toEqual(['GET /many']);
});

describe('a request whose length could be read in two ways', () => {
  it.each([
    ['a length and chunks', post('Content-Length: 5', 'Transfer-Encoding: chunked'), `0\r\n\r\n`],
    ['chunks and a length', post('Transfer-Encoding: chunked', 'Content-Length: 5'), `0\r\n\r\n`],
    ['two lengths', post('Content-Length: 5', 'Content-Length: 0'), 'hello'],
    ['two lengths, the other way', post('Content-Length: 0', 'Content-Length: 5'), 'hello'],
    ['two lengths in one', post('Content-Length: 0, 5'), 'hello'],
    ['a length with a sign', post('Content-Length: +5'), 'hello'],
    ['a length below zero', post('Content-Length: -5'), 'hello'],
    ['a length in hexadecimal', post('Content-Length: 0x5'), 'hello'],
    ['a length past all numbers', post('Content-Length: 18446744073709551617'), 'h'],
    ['a length of nothing', post('Content-Length:'), 'hello'],
    ['a length behind a blank', post('Content-Length : 5'), 'hello'],
    ['a header on a second line', post('X: y', ' Content-Length: 5'), 'hello'],
    ['chunks that are not the last coding', post('Transfer-Encoding: chunked, gzip'), chunk],
    ['a coding that nobody knows', post('Transfer-Encoding: xchunked'), chunk],
    ['chunks behind a blank', post('Transfer-Encoding : chunked'), chunk],
    ['chunks behind a tab', post('Transfer-Encoding:\x0bchunked'), chunk],
    ['two codings', post('Transfer-Encoding: chunked', 'Transfer-Encoding: identity'), chunk],
    ['a header that ends in a lone return', post('X: y\rContent-Length: 5'), 'hello'],
    [
      'a chunk in hexadecimal twice',
      post('Transfer-Encoding: chunked'),
      '0x5\r\nhello\r\n0\r\n\r\n',
    ],
    ['a chunk below zero', post('Transfer-Encoding: chunked'), '-5\r\nhello\r\n0\r\n\r\n'],
    [
      'a chunk past all numbers',
      post('Transfer-Encoding: chunked'),
      `1${'0'.repeat(16)}5\r\nhello\r\n`,
    ],
    [
      'a chunk that is longer than it says',
      post('Transfer-Encoding: chunked'),
      '2\r\nhello\r\n0\r\n\r\n',
    ],
    ['a chunk that ends nowhere', post('Transfer-Encoding: chunked'), '5\r\nhello0\r\n\r\n'],
  ])('is refused, and nothing behind it is served: %s', async (_what, head, body) => {
    const answers = await answersTo(`${head}\r\n\r\n${body}${second}`);
    expect(answers.match(/^HTTP\/1\.1 \d+/gm)).toEqual(['HTTP/1.1 400']);
    expect(served).toEqual([]);
  });
});

describe('what looks like a request in a body', () => {
  it.each([
    ['of a POST', 'POST /first'],
    ['of a GET', 'GET /first'],
    ['of a DELETE', 'DELETE /first'],
    ['of a request that was answered before its body was read', 'POST /unread'],
    ['of a GET that was answered before its body was read', 'GET /unread'],
  ])('stays a body: %s', async (_what, line) => {
    for (const [length, body] of [
      [`Content-Length: ${second.length}`, second],
      ['Transfer-Encoding: chunked', chunk],
    ]) {
      served = [];
      const answers = await answersTo(`${line} HTTP/1.1\r\nHost: x\r\n${length}\r\n\r\n${body}`);
      expect(answers.match(/^HTTP\/1\.1 \d+/gm)).toEqual(['HTTP/1.1 200']);
      expect(served).toEqual([`${line} ${line.includes('unread') ? '' : second}`.trim()]);
    }
  });

  it('is one behind it', async () => {
    const first = `${post(`Content-Length: 5`)}\r\n\r\nhello`;
    const answers = await answersTo(first + second);
    expect(answers.match(/^HTTP\/1\.1 \d+/gm)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 200']);
    expect(served.sort()).toEqual(['GET /smuggled', 'POST /first hello']);
  });
});

describe('a client that takes its time with headers', () => {
  beforeEach(async () => {
    // What takes a minute otherwise.
    server.close();
    Object.assign(server, { headersTimeout: 300, connectionsCheckingInterval: 50 });
    port = await listen(server, { port: 0, host: '127.0.0.1' });
  });

  it.each([
    ['sends nothing', '', ''],
    ['sends half of them', 'GET /first HTTP/1.1\r\nHost: x\r\n', ''],
    ['sends one after the other', 'GET /first HTTP/1.1\r\nHost: x\r\n', 'X: y\r\n'],
    ['is late with the second request', `${second}GET /first HTTP/1.1\r\n`, 'X: y\r\n'],
  ])('is cut off when it %s', async (_what, first, next) => {
    const socket = connection();
    socket.write(first);
    const trickle = setInterval(() => socket.write(next), 50);
    const answers = (await buffer(socket)).toString();
    clearInterval(trickle);
    expect(answers.match(/^HTTP\/1\.1 \d+/gm)?.at(-1)).toBe('HTTP/1.1 408');
    expect(served).toEqual(first.startsWith(second) ? ['GET /smuggled'] : []);
  });

  it('may take it with the body', async () => {
    const socket = connection();
    socket.write(`${post('Content-Length: 12', 'Connection: close')}\r\n\r\n`);
    for (let sent = 0; sent < 12; sent += 1) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      socket.write('x');
    }
    expect((await buffer(socket)).toString()).toMatch(/^HTTP\/1\.1 200/);
    expect(served).toEqual(['POST /first xxxxxxxxxxxx']);
  });
});

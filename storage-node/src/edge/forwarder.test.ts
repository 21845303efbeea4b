import { once } from 'node:events';
import {
  Agent,
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http';
import { buffer } from 'node:stream/consumers';
import { newNodeId } from '@dfs/shared';
import { ClusterKeyring, listen } from '@dfs/shared/cluster';
import { createFrontServer, HttpExchange } from '@dfs/shared/serving';
import { patternBytes, recordingLogger } from '@dfs/shared/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Forwarder } from './forwarder.ts';

const key = 'the key of the cluster';
const nodeId = newNodeId();
let master: Server;
let masterPort: number;
/** What the master does with what is passed on to it. */
let serve: RequestListener;
let front: Server;
let port: number;
let forwarder: Forwarder;

beforeEach(async () => {
  serve = (_request, response) => response.end();
  master = createServer((request, response) => serve(request, response));
  master.on('checkContinue', (request, response) => serve(request, response));
  masterPort = await listen(master, { host: '127.0.0.1', port: 0 });
  forwarder = new Forwarder({
    ...{ masterUrl: `http://127.0.0.1:${masterPort}`, nodeId, trust: undefined },
    keyring: ClusterKeyring.of(key),
    senderIdleMs: 200,
  });
  front = createFrontServer({
    logger: recordingLogger().logger,
    metrics: { requestEnded: () => undefined },
    exchangeOf: (...parameters) => new HttpExchange(...parameters),
    serve: async (exchange) => {
      const client = { address: '192.0.2.7', baseUrl: 'http://files.example' };
      await forwarder.forward(exchange, client);
    },
  }).server;
  port = await listen(front, { host: '127.0.0.1', port: 0 });
});
afterEach(async () => {
  forwarder.close();
  for (const server of [front, master]) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

const agent = new Agent({ keepAlive: false });

function send(method: string, headers: Record<string, string | string[]> = {}, path = '/fs/a?b=c') {
  return httpRequest({ host: '127.0.0.1', port, method, path, headers, agent });
}

async function answerTo(sent: ReturnType<typeof send>) {
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  return { status: answer.statusCode, headers: answer.headers, body: await buffer(answer) };
}

describe('what is passed on', () => {
  it('comes with its client and the key of the cluster, and without what the client says of these', async () => {
    let seen: IncomingMessage | undefined;
    serve = (request, response) => {
      seen = request;
      response.writeHead(200, { 'X-Answer': ['one', 'two'] }).end('said');
    };
    const sent = send('GET', {
      host: 'files.example',
      'shard-key': 'of the client',
      'x-dfs-forwarded-key': 'guessed',
      'x-dfs-client-address': '127.0.0.1',
      'x-dfs-client-url': 'http://evil.example',
      'x-dfs-by-node': newNodeId(),
      'x-forwarded-for': '127.0.0.1',
      connection: 'close, x-private, x-dfs-client-address, host',
      'x-private': 'for the next hop alone',
      te: 'trailers',
      'x-request-id': 'my-own-id',
    });
    sent.end();
    const answer = await answerTo(sent);
    expect([answer.status, answer.body.toString()]).toEqual([200, 'said']);
    expect(answer.headers['x-answer']).toBe('one, two');
    expect(seen?.url).toBe('/fs/a?b=c');
    const { connection: _, ...headers } = seen?.headers ?? {};
    expect(headers).toEqual({
      host: 'files.example',
      'shard-key': 'of the client',
      'x-dfs-forwarded-key': key,
      'x-dfs-client-address': '192.0.2.7',
      'x-dfs-client-url': 'http://files.example',
      'x-dfs-by-node': nodeId,
      'x-request-id': 'my-own-id',
    });
  });

  it('streams both ways with what follows its body', async () => {
    const bytes = patternBytes(3_000_000);
    serve = async (request, response) => {
      const body = await buffer(request);
      const echo = `${request.headers['transfer-encoding']} ${request.trailers['x-sum']}`;
      response.writeHead(201, { 'X-Echo': echo });
      response.write(body.subarray(0, 1_000));
      response.end(body.subarray(1_000));
    };
    const sent = send('POST', { trailer: 'x-sum', 'transfer-encoding': 'chunked' });
    sent.write(bytes);
    sent.addTrailers({ 'x-sum': '42' });
    sent.end();
    const answer = await answerTo(sent);
    expect([answer.status, answer.headers['x-echo']]).toEqual([201, 'chunked 42']);
    expect(answer.body.equals(bytes)).toBe(true);
  });

  it.each([
    ['GET', 'close, content-length'],
    ['POST', 'close, content-length, transfer-encoding'],
  ])(
    'keeps the length of its body whatever the client calls it: %s',
    async (method, connection) => {
      serve = async (request, response) => {
        response.end(`${request.headers['content-length']} ${await buffer(request)}`);
      };
      const sent = send(method, { connection, 'content-length': '5' });
      sent.end('bytes');
      expect((await answerTo(sent)).body.toString()).toBe('5 bytes');
    },
  );
});

describe('a refusal', () => {
  it('reaches a client that is still sending', async () => {
    serve = (_request, response) => {
      response.writeHead(507, { 'Content-Length': 4, Connection: 'close' }).end('full', () => {
        response.socket?.destroySoon();
      });
    };
    const sent = send('PUT', { 'content-length': String(64 * 2 ** 20) });
    sent.on('error', () => undefined);
    sent.write(patternBytes(8 * 2 ** 20));
    const answer = await answerTo(sent);
    expect([answer.status, answer.body.toString()]).toEqual([507, 'full']);
    sent.destroy();
  });

  it('comes before a body that is held back', async () => {
    serve = (_request, response) => response.writeHead(401, { 'Content-Length': 0 }).end();
    const sent = send('PUT', { expect: '100-continue', 'content-length': '9' });
    let isInvited = false;
    sent.on('continue', () => {
      isInvited = true;
    });
    sent.flushHeaders();
    expect((await answerTo(sent)).status).toBe(401);
    expect(isInvited).toBe(false);
    sent.destroy();
  });

  it('ends a sender who falls silent', async () => {
    serve = (request) => request.resume();
    const sent = send('PUT', { 'content-length': '9' });
    sent.write('half');
    expect((await answerTo(sent)).status).toBe(503);
    sent.destroy();
  });
});

describe('what breaks', () => {
  it('is cut where the answer of the master breaks off', async () => {
    serve = (_request, response) => {
      response.writeHead(200, { 'Content-Length': 100 });
      response.write('half', () => response.destroy());
    };
    const sent = send('GET');
    sent.end();
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    await expect(buffer(answer)).rejects.toThrow();
  });

  it('ends at the master when the client leaves before there is an answer', async () => {
    const left = new Promise<void>((resolve) => {
      serve = (_request, response) => {
        response.once('close', () => resolve());
        sent.destroy();
      };
    });
    const sent = send('GET').on('error', () => undefined);
    sent.end();
    await left;
  });

  it('ends at the master as soon as the client leaves', async () => {
    const left = new Promise<void>((resolve) => {
      serve = (request, response) => {
        request.resume();
        response.once('close', () => resolve());
        response.writeHead(200);
        response.write('begun');
      };
    });
    const sent = send('GET');
    sent.on('error', () => undefined);
    sent.end();
    await once(sent, 'response');
    sent.destroy();
    await left;
    const uploadLeft = new Promise<void>((resolve) => {
      serve = (request) => {
        request.on('data', () => upload.destroy());
        request.once('close', () => resolve());
        request.on('error', () => undefined);
      };
    });
    const upload = send('PUT', { 'content-length': '100' });
    upload.on('error', () => undefined);
    upload.write('begun');
    await uploadLeft;
  });

  it('is told as unavailable when there is no master', async () => {
    master.closeAllConnections();
    await new Promise((resolve) => master.close(resolve));
    const sent = send('GET');
    sent.end();
    const answer = await answerTo(sent);
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.body.toString()).error.code).toBe('unavailable');
  });
});

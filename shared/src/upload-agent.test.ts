import { once } from 'node:events';
import { type Agent, type IncomingMessage, request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { text } from 'node:stream/consumers';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { makeTestAuthority } from './testing/certificates.ts';
import { tlsTrustOf } from './tls-trust.ts';
import { makeTlsUploadAgent, makeUploadAgent } from './upload-agent.ts';

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0)) await end();
});

/** Answers at the first bytes of a body, closes, and says so in `closed`: all while the thread of the test stands still. */
const refusingServer = `
  const { workerData: { identity, closed }, parentPort } = require('node:worker_threads');
  const { createServer } = require(identity ? 'node:https' : 'node:http');
  const server = createServer(identity ?? {}, (request, response) => {
    request.once('data', () => {
      response.writeHead(507, { connection: 'close' }).end('no room', () => request.socket.destroySoon());
    });
  });
  server.on('connection', (socket) => socket.once('close', () => {
    Atomics.store(closed, 0, 1);
    Atomics.notify(closed, 0);
  }));
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
`;

/** Stands still: nothing that arrives is read meanwhile. */
const stand = (cell: Int32Array, ms: number) => Atomics.wait(cell, 0, 0, ms);

describe('an upload that is refused in its middle', () => {
  it.each(['http', 'https'])('gets to see the answer over %s', async (scheme) => {
    const closed = new Int32Array(new SharedArrayBuffer(4));
    const authority = scheme === 'https' ? await makeTestAuthority() : undefined;
    const identity = await authority?.issue('server');
    const worker = new Worker(refusingServer, { eval: true, workerData: { identity, closed } });
    endings.push(() => worker.terminate());
    const [port] = (await once(worker, 'message')) as [number];
    const agent: Agent = authority
      ? makeTlsUploadAgent(tlsTrustOf(authority.ca))
      : makeUploadAgent();
    endings.push(() => agent.destroy());
    const send = authority ? tlsRequest : plainRequest;
    const sent = send({ agent, host: '127.0.0.1', port, method: 'PUT', path: '/' });
    sent.setHeader('transfer-encoding', 'chunked');
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      sent.once('response', resolve);
      sent.once('error', reject);
    });
    // The other side says that it is gone, and then a write is told so; ticks run before anything that arrived is read.
    const writeOn = (more: number) => {
      stand(new Int32Array(new SharedArrayBuffer(4)), 20);
      sent.write('x'.repeat(1_000));
      if (more > 0) process.nextTick(writeOn, more - 1);
    };
    sent.write('first', () => {
      stand(closed, 10_000);
      expect(closed[0]).toBe(1);
      process.nextTick(writeOn, 5);
    });
    const answer = await answered;
    expect(answer.statusCode).toBe(507);
    expect(await text(answer)).toBe('no room');
    sent.destroy();
  });
});

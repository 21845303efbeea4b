import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { StoreError } from '../errors.ts';
import { rawErrorAnswer } from './answer-error.ts';
import { newRequestId } from './exchange.ts';

/** What is still on its way from the client is taken in for so long, so that it gets to see the answer. */
const lingerMs = 1_000;

/** Answers what is no HTTP, or too much of it, before it ever becomes a request; then the connection closes. */
export function answerClientErrors(server: Server): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    const isHalfAnswered = (socket as { _httpMessage?: { headersSent: boolean } })._httpMessage;
    // Who failed at TLS could not read an answer.
    const isBroken = /^ERR_(SSL|TLS)_/.test(error.code ?? '');
    if (isBroken || !socket.writable || socket.writableEnded || isHalfAnswered?.headersSent) {
      socket.destroy();
      return;
    }
    const { status, refusal } = refusalOf(error);
    socket.end(rawErrorAnswer(status, refusal, newRequestId()));
    setTimeout(() => socket.destroy(), lingerMs).unref();
  });
  server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
    const refusal = new StoreError('method-not-allowed', 'This server is no proxy.', {
      hint: 'Ask it for files under /fs/.',
    });
    socket.end(rawErrorAnswer(405, refusal, newRequestId()));
  });
}

function refusalOf(error: NodeJS.ErrnoException): { status: number; refusal: StoreError } {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return {
        status: 431,
        refusal: new StoreError('too-large', 'The headers of the request are too long.', {
          hint: 'Send less in headers and address: 32 KiB together.',
        }),
      };
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return {
        status: 408,
        refusal: new StoreError('incomplete-body', 'The headers of the request did not come.', {
          hint: 'Send the request at once.',
        }),
      };
    default:
      return {
        status: 400,
        refusal: new StoreError('invalid-request', 'What was sent is no HTTP request.', {
          hint: 'Send HTTP/1.1 as RFC 9112 defines it; percent-encode in paths what is not ASCII, and spaces.',
        }),
      };
  }
}

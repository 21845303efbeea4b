import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { StoreError } from '../errors.ts';
import type { NodeId } from '../ids.ts';
import { plainAddress } from './client-address.ts';
import type { RequestTarget } from './request-target.ts';
import type { TextCall } from './text-calls.ts';

/** A request and its answer, with what every part of a front wants to know of them. */
export class HttpExchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Stands in the answer and in the log. */
  readonly id: string;
  readonly startedAtMs = performance.now();
  /** Where the client is, without a port and with IPv4 in its plain form; empty when its connection was gone before anybody looked. */
  clientAddress: string;
  /** Whether the client's connection has TLS. */
  isTls: boolean;
  target: RequestTarget = { path: '/', query: '' };
  /** Which call it is, of those that are refused in plain text rather than in JSON. */
  textCall: TextCall | undefined;
  /** The node that served or took the bytes, for the log. */
  nodeId: NodeId | undefined;
  /** Why it was refused or cut, for the log. */
  failure: StoreError | undefined;
  #query: URLSearchParams | undefined;
  #gone: AbortController | undefined;
  #awaitsContinue: boolean;

  constructor(request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean) {
    this.request = request;
    this.response = response;
    this.#awaitsContinue = awaitsContinue;
    this.clientAddress = plainAddress(request.socket.remoteAddress ?? '');
    this.isTls = (request.socket as TLSSocket).encrypted === true;
    this.id = requestIdOf(request.headers['x-request-id']);
  }

  get query(): URLSearchParams {
    this.#query ??= new URLSearchParams(this.target.query);
    return this.#query;
  }

  get isHead(): boolean {
    return this.request.method === 'HEAD';
  }

  /** True when the client holds its body back until it is asked for it (RFC 9110 section 10.1.1). */
  get awaitsContinue(): boolean {
    return this.#awaitsContinue;
  }

  /** Asks for a body that is held back. Everything that can be judged without the body has been. */
  inviteBody(): void {
    if (!this.#awaitsContinue) return;
    this.#awaitsContinue = false;
    this.response.writeContinue();
  }

  /** Aborted when the connection ends before the answer did. */
  get signal(): AbortSignal {
    if (!this.#gone) {
      const gone = new AbortController();
      const { response } = this;
      if (response.destroyed) gone.abort();
      response.once('close', () => {
        if (!response.writableFinished) gone.abort();
      });
      this.#gone = gone;
    }
    return this.#gone.signal;
  }
}

const prefix = randomBytes(6).toString('hex');
let requests = 0;

export function newRequestId(): string {
  requests += 1;
  return `${prefix}-${requests.toString(36)}`;
}

/** The client's own id where it is a harmless one, so that its log and ours can be joined; else a new one. */
function requestIdOf(given: string | string[] | undefined): string {
  if (typeof given === 'string' && /^[A-Za-z0-9][A-Za-z0-9._-]{3,63}$/.test(given)) return given;
  return newRequestId();
}

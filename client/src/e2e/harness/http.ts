import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { connect, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';

export interface HttpRequest {
  readonly method?: string;
  /** Sent as it stands: nothing is encoded or tidied. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: Uint8Array | string | Readable;
  readonly signal?: AbortSignal;
  /** PEM of who signed the certificate of an https address. */
  readonly ca?: string;
  /** The address of this machine to send it from. */
  readonly from?: string;
  /** Without any byte for this long it fails. */
  readonly idleMs?: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
  json<T>(): T;
}

/** The body of every refusal. */
export interface ErrorAnswer {
  readonly error: { code: string; message: string; hint?: string; requestId?: string };
}

// Connections are used once, so that no test meets one that an earlier test broke.
const once = { keepAlive: false, maxSockets: Number.POSITIVE_INFINITY };
const agent = new Agent(once);
const tlsAgent = new TlsAgent({ ...once, maxCachedSessions: 0 });

/** Sends a request and resolves with the head of its answer; the body is for the caller to read. Rejects when there is no answer. */
export function openHttp(url: string, asked: HttpRequest): Promise<IncomingMessage> {
  const { protocol, hostname, port } = new URL(url);
  const isTls = protocol === 'https:';
  const { method = 'GET', path, headers = {}, body, signal, idleMs = 120_000 } = asked;
  const isHeld = typeof body === 'string' || body instanceof Uint8Array;
  return new Promise((resolve, reject) => {
    const sent = (isTls ? tlsRequest : request)(
      {
        host: hostname,
        port,
        path,
        method,
        agent: isTls ? tlsAgent : agent,
        ...(asked.ca === undefined ? {} : { ca: asked.ca }),
        headers: { ...(isHeld ? { 'Content-Length': Buffer.byteLength(body) } : {}), ...headers },
        ...(signal ? { signal } : {}),
        ...(asked.from === undefined ? {} : { localAddress: asked.from }),
      },
      (answer) => resolve(answer),
    );
    sent.setTimeout(idleMs, () => sent.destroy(new Error(`${method} ${path}: no byte in time`)));
    sent.once('error', reject);
    if (body instanceof Readable) {
      body.once('error', (error) => sent.destroy(error));
      sent.once('close', () => body.destroy());
      body.pipe(sent);
    } else {
      sent.end(body);
    }
  });
}

/** Sends a request and reads its whole answer. Rejects when there is none or it breaks off. */
export async function sendHttp(url: string, asked: HttpRequest): Promise<HttpAnswer> {
  const answer = await openHttp(url, asked);
  const body = await buffer(answer);
  return {
    status: answer.statusCode ?? 0,
    headers: answer.headers,
    body,
    text: body.toString(),
    json: <T>() => JSON.parse(body.toString()) as T,
  };
}

/** A bare connection, for what no HTTP client would send. */
export class RawConnection {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  #hasEnded = false;
  #wake: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    const end = () => {
      this.#hasEnded = true;
      this.#wake();
    };
    socket.on('error', end);
    socket.on('close', end);
  }

  static open(url: string): Promise<RawConnection> {
    const { hostname, port } = new URL(url);
    return new Promise((resolve, reject) => {
      const socket = connect({ host: hostname, port: Number(port) });
      socket.once('error', reject);
      socket.once('connect', () => resolve(new RawConnection(socket)));
    });
  }

  /** Resolves when the bytes left, or the connection broke. */
  write(bytes: string | Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.destroyed) resolve();
      else this.#socket.write(bytes, () => resolve());
    });
  }

  /** All that came so far. */
  get received(): string {
    return this.#received.toString('latin1');
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Resolves once this came. Rejects when the connection ends before or it takes too long. */
  async read(pattern: RegExp, withinMs = 30_000): Promise<RegExpExecArray> {
    const deadline = performance.now() + withinMs;
    for (;;) {
      const match = pattern.exec(this.received);
      if (match) return match;
      const leftMs = deadline - performance.now();
      if (this.#hasEnded || leftMs <= 0) {
        throw new Error(`Instead of ${pattern} came: ${JSON.stringify(this.received)}`);
      }
      await this.#change(leftMs);
    }
  }

  /** Resolves with all that came once the other side closed the connection. */
  async readToEnd(withinMs = 30_000): Promise<string> {
    const deadline = performance.now() + withinMs;
    while (!this.#hasEnded) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) throw new Error(`Still open after: ${JSON.stringify(this.received)}`);
      await this.#change(leftMs);
    }
    return this.received;
  }

  /** Cuts the connection as a client that dies does. */
  destroy(): void {
    this.#socket.resetAndDestroy();
  }

  #change(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, withinMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

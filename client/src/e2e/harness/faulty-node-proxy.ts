import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** What may happen to a request on its way to a node. */
export type Fault =
  /** Answered in place of the node, in its words; the body is read first, so that nobody is cut off. */
  | { readonly kind: 'status'; readonly status: number; readonly retryAfter?: number }
  /** Taken and never answered. */
  | { readonly kind: 'hang' }
  /** The connection is cut before the node sees anything. */
  | { readonly kind: 'drop-before' }
  /** It is cut when so many bytes of the body have passed; the node sees a client that died. */
  | { readonly kind: 'drop-in-body'; readonly afterBytes: number }
  /** The node does its work; its answer is never heard. */
  | { readonly kind: 'drop-after' }
  /** The answer is cut when so many bytes of its body have passed. */
  | { readonly kind: 'cut-answer'; readonly afterBytes: number }
  /** One byte of the answer's body is changed on its way. */
  | { readonly kind: 'flip-answer'; readonly at: number };

/** Decides by method and path; undefined: the request passes. */
export type FaultPlan = (request: { method: string; path: string }) => Fault | undefined;

/** Stands before a storage node and lets requests pass until it is told to break some. */
export class FaultyNodeProxy {
  readonly url: string;
  readonly #server: Server;
  readonly #nodePort: number;
  readonly #sockets = new Set<Socket>();
  #plan: FaultPlan = () => undefined;
  /** How many requests met a fault. */
  faults = 0;

  private constructor(server: Server, nodePort: number) {
    this.#server = server;
    this.#nodePort = nodePort;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    server.on('request', (request, response) => this.#take(request, response));
  }

  static start(nodePort: number): Promise<FaultyNodeProxy> {
    const server = createServer({ requestTimeout: 0 });
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ port: 0, host: '127.0.0.1' }, () =>
        resolve(new FaultyNodeProxy(server, nodePort)),
      );
    });
  }

  /** From now on requests meet what the plan says; those on their way go on. */
  break(plan: FaultPlan): void {
    this.#plan = plan;
  }

  /** Everything passes again; what hangs is cut. */
  mend(): void {
    this.#plan = () => undefined;
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const fault = this.#plan({ method: request.method ?? '', path: request.url ?? '' });
    if (fault) this.faults += 1;
    switch (fault?.kind) {
      case 'status':
        request.resume();
        request.once('end', () => refuse(response, fault));
        return;
      case 'hang':
        request.resume();
        return;
      case 'drop-before':
        request.socket.destroy();
        return;
      default:
        this.#pass(request, response, fault);
    }
  }

  #pass(request: IncomingMessage, response: ServerResponse, fault: Fault | undefined): void {
    const passed = httpRequest({
      host: '127.0.0.1',
      port: this.#nodePort,
      path: request.url,
      method: request.method,
      headers: { ...request.headers, connection: 'close' },
    });
    const cut = () => {
      passed.destroy();
      request.socket.destroy();
    };
    passed.once('error', cut);
    request.once('error', cut);
    response.once('close', () => passed.destroy());
    passed.once('response', (answer) => {
      if (fault?.kind === 'drop-after') cut();
      else passAnswer(answer, response, fault, cut);
    });
    let passedBytes = 0;
    request.on('data', (chunk: Buffer) => {
      passedBytes += chunk.length;
      if (fault?.kind === 'drop-in-body' && passedBytes > fault.afterBytes) {
        cut();
        return;
      }
      if (passed.write(chunk)) return;
      request.pause();
      passed.once('drain', () => request.resume());
    });
    request.once('end', () => {
      if (fault?.kind === 'drop-in-body') {
        // A shorter body than the place of the cut: it is cut at its end.
        cut();
        return;
      }
      if (Object.keys(request.trailers).length > 0) {
        passed.addTrailers(request.trailers as Record<string, string>);
      }
      passed.end();
    });
  }
}

/** How a node names what each status means. */
const codeOfStatus: Readonly<Record<number, string>> = {
  429: 'too-many-requests',
  500: 'internal',
  503: 'unavailable',
  507: 'no-room',
};

function refuse(response: ServerResponse, fault: Extract<Fault, { kind: 'status' }>): void {
  const code = codeOfStatus[fault.status] ?? 'internal';
  const body = JSON.stringify({ error: { code, message: 'The test broke this node.' } });
  response.writeHead(fault.status, {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    'X-DFS-Error': code,
    ...(fault.retryAfter === undefined ? {} : { 'Retry-After': String(fault.retryAfter) }),
  });
  response.end(body);
}

function passAnswer(
  answer: IncomingMessage,
  response: ServerResponse,
  fault: Fault | undefined,
  cut: () => void,
): void {
  response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
  let passedBytes = 0;
  answer.once('error', cut);
  answer.once('aborted', cut);
  answer.on('data', (chunk: Buffer) => {
    const start = passedBytes;
    passedBytes += chunk.length;
    if (fault?.kind === 'cut-answer' && passedBytes > fault.afterBytes) {
      // What belongs before the cut is to arrive.
      response.write(chunk.subarray(0, fault.afterBytes - start), cut);
      answer.pause();
      return;
    }
    if (fault?.kind === 'flip-answer' && start <= fault.at && fault.at < passedBytes) {
      chunk.writeUInt8(chunk.readUInt8(fault.at - start) ^ 0xff, fault.at - start);
    }
    if (response.write(chunk)) return;
    answer.pause();
    response.once('drain', () => answer.resume());
  });
  answer.once('end', () => response.end());
}

import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** Stands between a client and the store and can hold back or cut what the store sends. Every connection of a client is a new one to the store. */
export class TcpProxy {
  readonly url: string;
  readonly #server: Server;
  readonly #port: number;
  readonly #pairs = new Set<{ client: Socket; store: Socket }>();
  #holdAfterBytes = Number.POSITIVE_INFINITY;
  #onHeld: () => void = () => undefined;
  #answersToDrop = 0;
  /** Bytes that the store sent to clients. */
  passedBytes = 0;
  connections = 0;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.#port = port;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (client: Socket) => this.#join(client));
  }

  static start(storeUrl: string): Promise<TcpProxy> {
    const server = createServer();
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ port: 0, host: '127.0.0.1' }, () =>
        resolve(new TcpProxy(server, Number(new URL(storeUrl).port))),
      );
    });
  }

  /** Resolves once so many bytes went to clients; nothing more passes then until `release`. */
  holdAfter(bytes: number): Promise<void> {
    this.#holdAfterBytes = bytes;
    return new Promise((resolve) => {
      this.#onHeld = resolve;
    });
  }

  release(): void {
    this.#holdAfterBytes = Number.POSITIVE_INFINITY;
    for (const { store } of this.#pairs) store.resume();
  }

  /** The next answers are lost: the store did its work, and the connection breaks where its first byte would come. */
  dropAnswers(count: number): void {
    this.#answersToDrop = count;
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const { client, store } of this.#pairs) {
      client.destroy();
      store.destroy();
    }
    await closed;
  }

  #join(client: Socket): void {
    this.connections += 1;
    const store = connect({ port: this.#port, host: '127.0.0.1' });
    const pair = { client, store };
    this.#pairs.add(pair);
    const end = () => {
      client.destroy();
      store.destroy();
      this.#pairs.delete(pair);
    };
    for (const socket of [client, store]) socket.on('error', end);
    client.on('close', end);
    store.on('close', () => client.end());
    client.pipe(store, { end: false });
    store.on('data', (chunk) => this.#pass(chunk, pair, end));
  }

  #pass(chunk: Buffer, { client, store }: { client: Socket; store: Socket }, end: () => void) {
    const isInterim = /^HTTP\/1\.1 100 /.test(chunk.subarray(0, 16).toString('latin1'));
    if (this.#answersToDrop > 0 && !isInterim) {
      this.#answersToDrop -= 1;
      end();
      return;
    }
    this.passedBytes += chunk.length;
    if (!client.write(chunk)) {
      store.pause();
      client.once('drain', () => {
        if (this.passedBytes < this.#holdAfterBytes) store.resume();
      });
    }
    if (this.passedBytes < this.#holdAfterBytes) return;
    store.pause();
    this.#onHeld();
  }
}

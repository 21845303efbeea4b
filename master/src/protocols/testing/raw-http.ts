import { connect, type Socket } from 'node:net';

/** An answer as it came over the wire. */
export interface RawAnswer {
  readonly status: number;
  /** By lower-case name; of several with one name the last. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** A connection on which a test writes what no client would, and reads what comes back. */
export class RawConnection {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #isEnded = false;
  #wake: () => void = () => undefined;

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1' });
    this.socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    const end = () => {
      this.#isEnded = true;
      this.#wake();
    };
    // A reset ends what can be read just as a close does; what had come before counts.
    this.socket.on('end', end).on('error', end).on('close', end);
  }

  write(text: string | Buffer): void {
    this.socket.write(text);
  }

  /** All that was not read yet, once `isEnough` says so. Rejects when the connection ends before. */
  async #until<T>(read: (received: Buffer) => T | undefined): Promise<T> {
    for (;;) {
      const result = read(this.#received);
      if (result !== undefined) return result;
      if (this.#isEnded) {
        throw new Error(`The connection ended after ${JSON.stringify(this.#received.toString())}`);
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The next answer. `isHead`: it has no body whatever its headers say. */
  async answer({ isHead = false }: { isHead?: boolean } = {}): Promise<RawAnswer> {
    const head = await this.#until((received) => {
      const end = received.indexOf('\r\n\r\n');
      return end < 0 ? undefined : received.subarray(0, end).toString('latin1');
    });
    const [statusLine = '', ...lines] = head.split('\r\n');
    const headers = Object.fromEntries(
      lines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    this.#received = this.#received.subarray(Buffer.byteLength(head, 'latin1') + 4);
    const status = Number(statusLine.split(' ')[1]);
    const hasNoBody = isHead || status === 204 || status === 304 || status < 200;
    const length = hasNoBody ? 0 : Number(headers['content-length'] ?? 0);
    const body = await this.#until((received) =>
      received.length >= length ? received.subarray(0, length) : undefined,
    );
    this.#received = this.#received.subarray(length);
    return { status, headers, body };
  }

  /** Resolves when the other end closed the connection, with what had come and was not read. */
  async closed(): Promise<Buffer> {
    while (!this.#isEnded) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#received;
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/** Sends one request as it stands and gives the answer. */
export async function sendRaw(
  port: number,
  text: string | Buffer,
  options?: { isHead?: boolean },
): Promise<RawAnswer> {
  const connection = new RawConnection(port);
  try {
    connection.write(text);
    return await connection.answer(options);
  } finally {
    connection.destroy();
  }
}

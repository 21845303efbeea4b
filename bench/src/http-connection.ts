import { connect, type Socket } from 'node:net';

/** What the load generator needs of an answer's head. */
export interface ResponseHead {
  status: number;
  /** Decoded as latin1, from the status line to the last header. */
  text: string;
}

/** Told about one answer. Exactly one of `onEnd` and `onError` is called, once. */
export interface ResponseHandler {
  onHead?(head: ResponseHead): void;
  /** `bytes` is lent: the memory is used again as soon as the call returns. */
  onBody?(bytes: Buffer): void;
  onEnd(head: ResponseHead): void;
  onError(error: Error): void;
}

const headEnd = Buffer.from('\r\n\r\n');
const receiveBufferBytes = 256 * 1024;
const headBytesMax = 64 * 1024;

/**
 * One keep-alive connection of HTTP/1.1, one request at a time. It exists because it shares two
 * cores with the servers it measures: a general client costs more per small request than some of
 * the servers do. It knows Content-Length and chunked bodies, and nothing else.
 */
export class HttpConnection {
  private readonly socket: Socket;
  private handler: ResponseHandler | undefined;
  private head: ResponseHead | undefined;
  private partialHead: Buffer | undefined;
  private bodyLeft = 0;
  private chunkedBody: ChunkedBody | undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('error', (error) => this.fail(error));
    socket.on('close', () => this.fail(new Error('The server closed the connection.')));
  }

  /** Resolves once connected; rejects with the socket's error. */
  static open(host: string, port: number): Promise<HttpConnection> {
    return new Promise((resolve, reject) => {
      let connection: HttpConnection | undefined;
      const socket = connect({
        host,
        port,
        // One buffer for the connection's life: otherwise every read allocates 64 KiB.
        onread: {
          buffer: Buffer.allocUnsafeSlow(receiveBufferBytes),
          callback: (length, buffer) => {
            connection?.receive(Buffer.from(buffer.buffer, buffer.byteOffset, length));
            return true;
          },
        },
      });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        connection = new HttpConnection(socket);
        resolve(connection);
      });
    });
  }

  get isOpen(): boolean {
    return !this.socket.destroyed && this.socket.writable;
  }

  /** Sends a request that is complete in `request`. The last answer must have ended. */
  exchange(request: Buffer | string, handler: ResponseHandler): void {
    this.expectAnswer(handler);
    if (typeof request === 'string') this.socket.write(request, 'latin1');
    else this.socket.write(request);
  }

  /** Sends `head`, then `chunks` as fast as the server takes them. The last answer must have ended. */
  exchangeStream(head: string, chunks: Iterable<Buffer>, handler: ResponseHandler): void {
    this.expectAnswer(handler);
    const iterator = chunks[Symbol.iterator]();
    const sendMore = () => {
      while (this.handler === handler && this.isOpen) {
        const next = iterator.next();
        if (next.done) return;
        if (!this.socket.write(next.value)) {
          this.socket.once('drain', sendMore);
          return;
        }
      }
    };
    this.socket.write(head, 'latin1');
    sendMore();
  }

  close(): void {
    this.socket.destroy();
  }

  private expectAnswer(handler: ResponseHandler): void {
    if (this.handler) throw new Error('A request is already under way on this connection.');
    this.handler = handler;
  }

  private receive(bytes: Buffer): void {
    if (!this.handler) {
      this.socket.destroy(new Error('The server sent bytes that nobody asked for.'));
    } else if (this.head) {
      this.receiveBody(bytes);
    } else {
      this.receiveHead(bytes);
    }
  }

  private receiveHead(bytes: Buffer): void {
    const all = this.partialHead ? Buffer.concat([this.partialHead, bytes]) : bytes;
    const end = all.indexOf(headEnd);
    if (end < 0) {
      if (all.length > headBytesMax) this.socket.destroy(new Error('The head is too long.'));
      else this.partialHead = Buffer.from(all);
      return;
    }
    this.partialHead = undefined;
    const text = all.toString('latin1', 0, end);
    const head = { status: Number(text.slice(9, 12)), text };
    const rest = all.subarray(end + headEnd.length);
    if (head.status === 100) {
      if (rest.length > 0) this.receiveHead(rest);
      return;
    }
    this.head = head;
    this.bodyLeft = contentLength(text, head.status);
    this.chunkedBody = this.bodyLeft < 0 ? new ChunkedBody() : undefined;
    if (this.bodyLeft < 0 && !/\r\ntransfer-encoding: *chunked/i.test(text)) {
      this.socket.destroy(new Error('The answer has neither Content-Length nor chunks.'));
      return;
    }
    this.handler?.onHead?.(head);
    if (rest.length > 0 || this.bodyLeft === 0) this.receiveBody(rest);
  }

  private receiveBody(bytes: Buffer): void {
    if (this.chunkedBody) {
      this.receiveChunks(this.chunkedBody, bytes);
      return;
    }
    if (bytes.length > this.bodyLeft) {
      this.socket.destroy(new Error('The body is longer than its Content-Length.'));
      return;
    }
    this.bodyLeft -= bytes.length;
    if (bytes.length > 0) this.handler?.onBody?.(bytes);
    if (this.bodyLeft === 0) this.complete();
  }

  private receiveChunks(body: ChunkedBody, bytes: Buffer): void {
    const progress = body.receive(bytes, (part) => this.handler?.onBody?.(part));
    if (progress === 'complete') this.complete();
    if (progress === 'malformed') this.socket.destroy(new Error('The chunked body is malformed.'));
  }

  private complete(): void {
    const { handler, head } = this;
    this.handler = undefined;
    this.head = undefined;
    this.chunkedBody = undefined;
    if (head && /\r\nconnection: *close/i.test(head.text)) this.socket.destroy();
    if (handler && head) handler.onEnd(head);
  }

  private fail(error: Error): void {
    const { handler } = this;
    this.handler = undefined;
    handler?.onError(error);
  }
}

/** The value of a header of `head`, or undefined. `name` is in lower case. */
export function headerOf(head: ResponseHead, name: string): string | undefined {
  for (const line of head.text.split('\r\n').slice(1)) {
    const colon = line.indexOf(':');
    if (line.slice(0, colon).toLowerCase() === name) return line.slice(colon + 1).trim();
  }
  return undefined;
}

function contentLength(head: string, status: number): number {
  if (status === 204 || status === 304) return 0;
  const match = /\r\ncontent-length: *(\d+)/i.exec(head);
  return match ? Number(match[1]) : -1;
}

type ChunkProgress = 'more' | 'complete' | 'malformed';

/** Takes the framing off a chunked body (RFC 9112, section 7.1), however the bytes are cut up. */
class ChunkedBody {
  private state: 'size' | 'data' | 'data-end' | 'trailer' = 'size';
  private line = '';
  private dataLeft = 0;

  /** Hands the data in `bytes` to `onData`; complete once the last chunk and the trailer were seen. */
  receive(bytes: Buffer, onData: (part: Buffer) => void): ChunkProgress {
    let position = 0;
    while (position < bytes.length) {
      if (this.state === 'data') {
        const part = bytes.subarray(position, position + this.dataLeft);
        position += part.length;
        this.dataLeft -= part.length;
        if (this.dataLeft === 0) this.state = 'data-end';
        onData(part);
        continue;
      }
      const newline = bytes.indexOf(0x0a, position);
      const lineEnd = newline < 0 ? bytes.length : newline;
      this.line += bytes.toString('latin1', position, lineEnd);
      position = lineEnd + 1;
      const progress = newline < 0 ? 'more' : this.endLine();
      if (progress !== 'more') return progress;
    }
    return 'more';
  }

  private endLine(): ChunkProgress {
    const line = this.line.trimEnd();
    this.line = '';
    if (this.state === 'trailer') return line === '' ? 'complete' : 'more';
    if (this.state === 'data-end') {
      this.state = 'size';
      return line === '' ? 'more' : 'malformed';
    }
    this.dataLeft = Number.parseInt(line, 16);
    this.state = this.dataLeft === 0 ? 'trailer' : 'data';
    return this.dataLeft >= 0 ? 'more' : 'malformed';
  }
}

import { Agent } from 'node:http';
import { type NetConnectOpts, Socket, type TcpNetConnectOpts } from 'node:net';

/** How long the last words of a peer that closed may take to be read, ms. */
const lastWordsMs = 100;
/** Shorter than any server keeps an idle connection, so that none is used that the other side is about to close. */
const idleConnectionMs = 4_000;

/** Connections for streamed uploads, kept for the next one. */
export function makeUploadAgent(): Agent {
  return new UploadAgent({ keepAlive: true, maxFreeSockets: 8, timeout: idleConnectionMs });
}

class UploadAgent extends Agent {
  override createConnection(options: NetConnectOpts): Socket {
    return new UploadSocket().connect(options as TcpNetConnectOpts);
  }
}

type WriteDone = (error?: Error | null) => void;

/**
 * A server that refuses in the middle of a body answers and closes. The next write fails then (EPIPE), which would destroy the socket with the answer
 * still unread in it. This one lets what was received be read first.
 */
class UploadSocket extends Socket {
  override _write(chunk: unknown, encoding: BufferEncoding, done: WriteDone): void {
    super._write(chunk, encoding, (error) => this.#written(error, done));
  }

  override _writev(chunks: { chunk: unknown; encoding: BufferEncoding }[], done: WriteDone): void {
    super._writev?.(chunks, (error) => this.#written(error, done));
  }

  #written(error: Error | null | undefined, done: WriteDone): void {
    if (!error || this.destroyed || this.readableEnded) {
      done(error);
      return;
    }
    const finish = () => {
      clearTimeout(timer);
      this.off('end', finish);
      this.off('close', finish);
      done(error);
    };
    const timer = setTimeout(finish, lastWordsMs);
    this.once('end', finish);
    this.once('close', finish);
  }
}

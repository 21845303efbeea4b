import { Agent } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { trusting } from './tls-trust.ts';

/** How long the last words of a peer that closed may take to be read, ms. */
const lastWordsMs = 100;
/** Shorter than any server keeps an idle connection, so that none is used that the other side is about to close. */
const idleConnectionMs = 4_000;
const keeping = { keepAlive: true, timeout: idleConnectionMs } as const;
const connectionsKept = 8;

/** Connections for streamed uploads, of which so many are kept for the next ones. */
export function makeUploadAgent(maxFreeSockets = connectionsKept): Agent {
  const agent = new Agent({ ...keeping, maxFreeSockets });
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (...parameters) => {
    const socket = connect(...parameters) as Socket;
    readLastWords(socket);
    return socket;
  };
  return agent;
}

/** The same over TLS, where a write tells its failure only after what was received has been read; `trust` from `tlsTrustOf`. */
export function makeTlsUploadAgent(
  trust: SecureContext | undefined,
  maxFreeSockets = connectionsKept,
): TlsAgent {
  return new TlsAgent({ ...keeping, maxFreeSockets, ...trusting(trust) });
}

type WriteDone = (error?: Error | null) => void;

/**
 * A server that refuses in the middle of a body answers and closes. The next write fails then (EPIPE), which would destroy the socket with the answer
 * still unread in it. From now on what was received is read first.
 */
function readLastWords(socket: Socket): void {
  const write = socket._write.bind(socket);
  const writev = socket._writev?.bind(socket);
  socket._write = (chunk, encoding, done) => {
    write(chunk, encoding, (error) => written(socket, error, done));
  };
  if (!writev) return;
  socket._writev = (chunks, done) => {
    writev(chunks, (error) => written(socket, error, done));
  };
}

function written(socket: Socket, error: Error | null | undefined, done: WriteDone): void {
  if (!error || socket.destroyed || socket.readableEnded) {
    done(error);
    return;
  }
  const finish = () => {
    clearTimeout(timer);
    socket.off('end', finish);
    socket.off('close', finish);
    done(error);
  };
  const timer = setTimeout(finish, lastWordsMs);
  socket.once('end', finish);
  socket.once('close', finish);
}

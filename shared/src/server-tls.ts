import { readFile } from 'node:fs/promises';
import {
  createServer as createPlainServer,
  type RequestListener,
  type Server,
  type ServerOptions,
} from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import { EnvironmentReader } from './environment.ts';
import { type FileFault, FileFollower } from './file-follower.ts';
import type { Logger } from './logger.ts';
import { readTlsCa, tlsTrustOf } from './tls-trust.ts';

const handshakeTimeoutMs = 15_000;

interface Identity {
  /** PEM, with the certificates of those that signed it, if any, behind it. */
  readonly cert: string;
  readonly key: string;
}

interface Files {
  readonly certFile: string;
  readonly keyFile: string;
}

/** What a program's listeners speak: HTTP, or HTTPS with a certificate that is followed while it changes. */
export class ServerTls {
  #identity: Identity | undefined;
  readonly #servers = new Set<TlsServer>();
  readonly #follower: FileFollower<Identity> | undefined;

  private constructor(files?: Files, identity?: Identity) {
    this.#identity = identity;
    if (files === undefined) return;
    this.#follower = new FileFollower({
      read: () => readIdentity(files),
      textOf: ({ cert, key }) => cert + key,
      onFound: (found, logger) => this.#change(found, files, logger),
      faultMessage: 'the certificate cannot be used, the one before is kept',
    });
  }

  /** Listeners without TLS. */
  static none(): ServerTls {
    return new ServerTls();
  }

  /** The files that `DFS_TLS_CERT` and `DFS_TLS_KEY` name; neither: no TLS. Throws `ConfigurationError` when one is missing or they cannot be used. */
  static async read(environment: Readonly<Record<string, string | undefined>>): Promise<ServerTls> {
    const read = new EnvironmentReader(environment);
    const certFile = read.optional('DFS_TLS_CERT');
    const keyFile = read.optional('DFS_TLS_KEY');
    if (certFile === undefined && keyFile === undefined) return ServerTls.none();
    if (certFile === undefined || keyFile === undefined) {
      const [set, unset] = certFile === undefined ? ['KEY', 'CERT'] : ['CERT', 'KEY'];
      read.fault(`DFS_TLS_${set} is set, but DFS_TLS_${unset} is not: name both files, or none.`);
      read.finish();
      return ServerTls.none();
    }
    const files = { certFile, keyFile };
    const found = await readIdentity(files);
    if ('fault' in found) read.fault(`DFS_TLS_CERT, DFS_TLS_KEY: ${found.fault}`);
    read.finish();
    return new ServerTls(files, 'cert' in found ? found : undefined);
  }

  /** How addresses of these listeners begin. */
  get scheme(): 'http' | 'https' {
    return this.#identity === undefined ? 'http' : 'https';
  }

  /** A server that does not listen yet. */
  createServer(options: ServerOptions, handle: RequestListener): Server {
    if (this.#identity === undefined) return createPlainServer(options, handle);
    const server = createTlsServer(
      {
        ...(options as object),
        ...this.#identity,
        minVersion: 'TLSv1.2',
        handshakeTimeout: handshakeTimeoutMs,
      },
      handle,
    );
    this.#servers.add(server);
    server.once('close', () => this.#servers.delete(server));
    endHandshakesWith(server);
    return server;
  }

  /**
   * From now on the files, if any, are looked at each second; new connections are served with what they hold within two. Files that are gone, broken or do not
   * belong together change nothing and are told in one line.
   */
  watch(logger: Logger, everyMs?: number): void {
    this.#follower?.start(logger, everyMs);
  }

  /** Looks no more; what listens goes on. */
  close(): void {
    this.#follower?.close();
  }

  #change(found: Identity, { certFile }: Files, logger: Logger): void {
    if (found.cert === this.#identity?.cert && found.key === this.#identity.key) return;
    this.#identity = found;
    for (const server of this.#servers) {
      server.setSecureContext({ ...found, minVersion: 'TLSv1.2' });
    }
    logger.info('the certificate has changed', { file: certFile });
  }
}

/** A connection that has not finished its handshake is unknown to `closeAllConnections`, and would keep a server from stopping until it times out. */
function endHandshakesWith(server: TlsServer): void {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const closeAll = server.closeAllConnections.bind(server);
  server.closeAllConnections = () => {
    closeAll();
    for (const socket of sockets) socket.destroy();
  };
}

async function readIdentity({ certFile, keyFile }: Files): Promise<Identity | FileFault> {
  try {
    const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')]);
    createSecureContext({ cert, key });
    return { cert, key };
  } catch (error) {
    const { code, path, message } = error as NodeJS.ErrnoException;
    if (path !== undefined) return { fault: `the file ${path} cannot be read (${code}).` };
    return {
      fault: `${certFile} and ${keyFile} are no certificate and its private key in PEM (${code ?? message}).`,
    };
  }
}

/** What a program needs to serve and to reach others over TLS. */
export interface ProgramTls {
  readonly server: ServerTls;
  /** PEM of `DFS_TLS_CA`. */
  readonly ca: string | undefined;
  readonly trust: SecureContext | undefined;
}

/** Reads `DFS_TLS_CERT`, `DFS_TLS_KEY` and `DFS_TLS_CA`. Throws `ConfigurationError`. */
export async function readTls(
  environment: Readonly<Record<string, string | undefined>>,
): Promise<ProgramTls> {
  const read = new EnvironmentReader(environment);
  const ca = readTlsCa(read);
  read.finish();
  return { server: await ServerTls.read(environment), ca, trust: tlsTrustOf(ca) };
}

/** HTTP, and nobody to trust but those whom Node.js trusts. */
export const withoutTls: ProgramTls = { server: ServerTls.none(), ca: undefined, trust: undefined };

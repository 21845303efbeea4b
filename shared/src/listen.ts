import type { AddressInfo, Server } from 'node:net';
import { ConfigurationError } from './environment.ts';

export interface ListenAddress {
  /** Absent: all addresses. */
  readonly host?: string | undefined;
  /** 0: any free one. */
  readonly port: number;
}

const loopback = /^(127\.\d{1,3}\.\d{1,3}\.\d{1,3}|::1|localhost)$/;

/** Why a program may not listen at `DFS_HOST` (or another `setting`) as it is set, or undefined: without a cluster key nobody but this machine may reach it. Absent host: all addresses. Pure. */
export function whyNotListenAt(
  host: string | undefined,
  hasClusterKey: boolean,
  setting = 'DFS_HOST',
): string | undefined {
  if (hasClusterKey || loopback.test(host ?? '')) return undefined;
  return `${setting} is ${host}, but no cluster key is set: without one only 127.0.0.1 is allowed. Set DFS_CLUSTER_KEY or DFS_CLUSTER_KEY_FILE.`;
}

/**
 * Starts a server and resolves with the port that it got. Rejects with `ConfigurationError`, in one line, when the
 * address cannot be had.
 */
export async function listen(server: Server, { host, port }: ListenAddress): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    const refused = (cause: NodeJS.ErrnoException) => {
      server.off('listening', resolve);
      reject(new ConfigurationError(reasonOf(cause, host, port), { cause }));
    };
    server.once('error', refused);
    server.once('listening', () => {
      server.off('error', refused);
      resolve();
    });
    server.listen({ port, ...(host === undefined ? {} : { host }) });
  });
  return (server.address() as AddressInfo).port;
}

function reasonOf(error: NodeJS.ErrnoException, host: string | undefined, port: number): string {
  const place = host === undefined ? `Port ${port}` : `Port ${port} of ${host}`;
  switch (error.code) {
    case 'EADDRINUSE':
      return `${place} is taken by another program: choose another port, or stop that program.`;
    case 'EACCES':
      return `${place} may not be opened by this user: choose a port above 1023.`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${place} cannot be opened: ${host} is no address of this machine.`;
    default:
      return `${place} cannot be opened: ${error.message}.`;
  }
}

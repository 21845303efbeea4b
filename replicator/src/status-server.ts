import type { IncomingMessage } from 'node:http';
import { ConfigurationError, keyOfHeaders } from '@dfs/shared';
import { type ClusterKeyring, listen, ServerTls, whyNotListenAt } from '@dfs/shared/cluster';
import { collectDefaultMetrics, Registry } from 'prom-client';

export interface StatusServerOptions {
  /** Absent: all addresses with a cluster key, 127.0.0.1 without. */
  readonly host: string | undefined;
  readonly port: number;
  readonly keyring: ClusterKeyring;
  /** Absent: HTTP. */
  readonly tls?: ServerTls;
}

export interface StatusServer {
  readonly port: number;
  close(): Promise<void>;
}

const localHost = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/i;

/**
 * Tells those who watch this process how it is: `/healthz` answers anyone as long as it turns, `/metrics` those who have the
 * cluster key, or local programs where there is none. Rejects with `ConfigurationError` when the address cannot be had, or may not be without a key.
 */
export async function serveStatus({
  host,
  port,
  keyring,
  tls = ServerTls.none(),
}: StatusServerOptions): Promise<StatusServer> {
  const isKeyed = keyring.current() !== undefined;
  const fault = host === undefined ? undefined : whyNotListenAt(host, isKeyed);
  if (fault !== undefined) throw new ConfigurationError(fault);
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const server = tls.createServer({}, async (request, response) => {
    const [status, text] = await answerTo(request, keyring, registry);
    response.writeHead(status, {
      'Content-Type': status === 200 ? registry.contentType : 'text/plain',
    });
    response.end(text);
  });
  const boundPort = await listen(server, {
    host: host ?? (isKeyed ? undefined : '127.0.0.1'),
    port,
  });
  return {
    port: boundPort,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
        registry.clear();
      }),
  };
}

async function answerTo(
  request: IncomingMessage,
  keyring: ClusterKeyring,
  registry: Registry,
): Promise<[status: number, text: string]> {
  const path = request.url?.replace(/\?.*/s, '');
  if (path === '/healthz') return [200, 'ok\n'];
  if (path !== '/metrics') return [404, 'Here are /healthz and /metrics.\n'];
  if (!isAllowed(request, keyring)) return [401, 'This wants the cluster key.\n'];
  return [200, await registry.metrics()];
}

function isAllowed({ headers }: IncomingMessage, keyring: ClusterKeyring): boolean {
  // A page that a browser on this machine shows may reach loopback under a name of its own.
  if (keyring.current() === undefined) return localHost.test(headers.host ?? '');
  return keyring.isOne(keyOfHeaders(headers) ?? '');
}

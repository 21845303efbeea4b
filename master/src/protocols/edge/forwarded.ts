import type { IncomingMessage, ServerResponse } from 'node:http';
import { errorBodyOf, forwardedHeaders, httpStatusOf, parseNodeId, StoreError } from '@dfs/shared';
import type { ClusterKeyring } from '@dfs/shared/cluster';
import { type FrontServer, plainAddress } from '@dfs/shared/serving';
import { Exchange, type ForwardedClient } from '../http/exchange.ts';

/**
 * Serves what nodes pass on for their clients as if it had come in at the public port. The function gives false for what is the sender's own request, and leaves
 * that alone. `onWrongKey` is called for each that did not prove itself by the cluster key.
 */
export function forwardedTo(
  front: Pick<FrontServer<Exchange>, 'take'>,
  keyring: Pick<ClusterKeyring, 'current' | 'isOne'>,
  onWrongKey?: (address: string) => void,
): (request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean) => boolean {
  return (request, response, awaitsContinue) => {
    let client: ForwardedClient | undefined;
    try {
      client = takeForwarded(request, keyring);
    } catch (error) {
      const isOfKey = (error as StoreError).kind === 'unauthorized';
      if (isOfKey) onWrongKey?.(plainAddress(request.socket.remoteAddress ?? ''));
      refuse(response, error as StoreError);
      return true;
    }
    if (!client) return false;
    const exchange = new Exchange(request, response, awaitsContinue);
    exchange.forwardedFor = client;
    front.take(exchange);
    return true;
  };
}

/**
 * For whom a request at the management port was passed on by a node; undefined when it is the sender's own. What a node added to it is taken away, so that nothing behind this sees a
 * key that is not the client's. Rejects with `unauthorized` when it does not come from a node of this cluster, with
 * `invalid-request` when it names none.
 */
function takeForwarded(
  request: IncomingMessage,
  keyring: Pick<ClusterKeyring, 'current' | 'isOne'>,
): ForwardedClient | undefined {
  const { headers } = request;
  const address = headers[forwardedHeaders.clientAddress];
  if (address === undefined) return undefined;
  const key = headers[forwardedHeaders.key];
  const baseUrl = headers[forwardedHeaders.clientUrl];
  const nodeId = String(headers[forwardedHeaders.nodeId]);
  if (keyring.current() !== undefined && !(typeof key === 'string' && keyring.isOne(key))) {
    throw new StoreError('unauthorized', 'The cluster key of who passes a request on is wrong.', {
      hint: 'Give every program of the cluster the same DFS_CLUSTER_KEY or DFS_CLUSTER_KEY_FILE.',
    });
  }
  for (const name of names) delete headers[name];
  request.rawHeaders = request.rawHeaders.filter(
    (_text, index, raw) => !names.has((raw[index - (index % 2)] ?? '').toLowerCase()),
  );
  return {
    address: String(address),
    baseUrl: baseUrl === undefined ? undefined : String(baseUrl),
    byNode: parseNodeId(nodeId),
  };
}

const names: ReadonlySet<string> = new Set(Object.values(forwardedHeaders));

function refuse(response: ServerResponse, error: StoreError): void {
  const body = JSON.stringify(errorBodyOf(error));
  response.writeHead(httpStatusOf[error.kind], {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close',
  });
  response.end(body);
}

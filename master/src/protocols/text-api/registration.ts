import { StoreError } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import { plainAddress } from '@dfs/shared/serving';
import type { FailureThrottle } from '../../access/failure-throttle.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Front } from '../http/front.ts';

/** `POST /api/v1/register`: what a node that knows only a public address asks first. */
export interface Registration {
  /** Where it reports: the management address. */
  readonly management: string;
  /** Who answered. */
  readonly instance: string;
}

export const registrationPath = '/api/v1/register';

/** Writes a line for a node that is about to be refused for its key, once a minute for each address: its own log is on another machine. */
export function tellOfRefusal(
  exchange: Exchange,
  { logger, told }: { readonly logger: Logger; readonly told: Pick<FailureThrottle, 'failed'> },
): void {
  exchange.response.once('close', () => {
    const { kind } = exchange.failure ?? {};
    if (kind !== 'unauthorized' && kind !== 'forbidden') return;
    if (!told.failed(exchange.clientAddress)) return;
    logger.warn('a node was refused: it does not have the key of this cluster', {
      address: exchange.clientAddress,
    });
  });
}

/** Only for who has the cluster key, which the management port wants as well. Rejects with `unauthorized`, `forbidden`. */
export function registration(front: Front, exchange: Exchange): Registration {
  const { access, config, managementUrl } = front;
  access.authorize(exchange.principal, 'admin');
  if (exchange.principal.kind !== 'admin') {
    throw new StoreError(
      'forbidden',
      'An access key registers no node: this takes the key of the cluster.',
    );
  }
  return { management: managementUrl(hostOf(exchange)), instance: config.instanceName };
}

/** Under which the sender reaches this machine: as it did, or as the node did that passed its request on. */
function hostOf({ forwardedFor, baseUrl, request }: Exchange): string {
  const address = plainAddress(request.socket.localAddress ?? '127.0.0.1');
  // A node beside the master reaches it where others do not.
  const isBeside = /^(?:127\.|::1$)/.test(address);
  if (!forwardedFor || isBeside) return new URL(baseUrl ?? 'http://127.0.0.1').hostname;
  return address.includes(':') ? `[${address}]` : address;
}

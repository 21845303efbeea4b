import type { EdgeClient } from '@dfs/shared';
import type { Asker } from '../http/exchange.ts';
import type { Front } from '../http/front.ts';

/** Who asks a node for something, as the master sees them. Rejects as `AccessControl.authenticate`. */
export function askerOf(
  { access }: Pick<Front, 'access'>,
  { headers, clientAddress }: EdgeClient,
  request: {
    readonly method: string;
    readonly query: URLSearchParams;
    readonly authority?: string | undefined;
    readonly isAskedAhead?: boolean;
  },
): Asker {
  const { method, query, authority, isAskedAhead = false } = request;
  return {
    principal: access.authenticate(headers, { authority, clientAddress, isAskedAhead }),
    clientAddress,
    query,
    isHead: method === 'HEAD',
  };
}

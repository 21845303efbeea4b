import type { NodeId } from '@dfs/shared';
import { type Client, HttpExchange } from '@dfs/shared/serving';
import type { Principal } from '../../access/rules.ts';

/** A request and its answer, with who asks. */
export class Exchange extends HttpExchange {
  /** Set before anything is asked of the store. */
  principal: Principal = { kind: 'anonymous' };
  /** Scheme and host by which the client reached us, such as `https://files.example:8443`; undefined where it named no usable host. */
  baseUrl: string | undefined;
  /** For whom a node passed the request on; undefined when the client itself sent it. */
  forwardedFor: ForwardedClient | undefined;
}

/** A client of a node's own public listener. */
export interface ForwardedClient extends Client {
  /** The node. */
  readonly byNode: NodeId;
}

/** Who asks to read something, as far as their rights go. */
export type Asker = Pick<Exchange, 'principal' | 'clientAddress' | 'query' | 'isHead'>;

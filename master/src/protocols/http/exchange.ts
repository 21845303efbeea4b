import { HttpExchange } from '@dfs/shared/serving';
import type { Principal } from '../../access/rules.ts';

/** A request and its answer, with who asks. */
export class Exchange extends HttpExchange {
  /** Set before anything is asked of the store. */
  principal: Principal = { kind: 'anonymous' };
}

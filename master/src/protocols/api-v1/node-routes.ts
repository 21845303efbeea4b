import { StoreError } from '@dfs/shared';
import express, { type Request, type Router } from 'express';
import type { Exchange } from '../http/exchange.ts';
import { checkServing, type Front } from '../http/front.ts';
import { sendJson } from '../http/send.ts';
import { rebalanceAnswerOf, type StatusReader } from './status.ts';

const bodyMax = '16kb';

/** What an admin does to nodes: `POST /api/v1/nodes/<id|name>/drain`, `DELETE /api/v1/nodes/<id|name>`, `POST /api/v1/rebalance`. */
export function addNodeRoutes(
  router: Router,
  front: Front,
  status: StatusReader,
  exchangeOf: (request: Request) => Exchange,
): void {
  const { access, nodes, nodeAdmin, repair } = front;
  const json = express.json({ limit: bodyMax, type: () => true });
  const admin = (request: Request): Exchange => {
    const exchange = exchangeOf(request);
    access.authorize(exchange.principal, 'admin');
    checkServing(nodes);
    return exchange;
  };

  router.post('/api/v1/nodes/:node/drain', json, async (request: Request) => {
    const exchange = admin(request);
    const node = await nodeAdmin.drain(nodeOf(request), { cancel: flagOf(request, 'cancel') });
    repair.wake();
    sendJson(exchange, 200, await status.node(node));
  });

  router.delete('/api/v1/nodes/:node', async (request: Request) => {
    const exchange = admin(request);
    const force = new URLSearchParams(exchange.target.query).get('force') === '1';
    const { id, name } = await nodeAdmin.remove(nodeOf(request), { force });
    sendJson(exchange, 200, { id, name });
  });

  router.post('/api/v1/rebalance', json, (request: Request) => {
    const exchange = admin(request);
    const { rebalance } = repair;
    if (flagOf(request, 'cancel')) rebalance.stop();
    else rebalance.start();
    repair.wake();
    sendJson(exchange, 200, rebalanceAnswerOf(rebalance.progress(nodes.snapshots())));
  });
}

const nodeOf = (request: Request) => String(request.params['node']);

/** A member of the JSON body, which may be absent as a whole. */
function flagOf(request: Request, member: string): boolean {
  const body = (request.body ?? {}) as Record<string, unknown>;
  const value = body[member] ?? false;
  if (typeof value === 'boolean') return value;
  throw new StoreError('invalid-request', `"${member}" must be true or false.`, {
    hint: `Send JSON such as {"${member}": true}.`,
  });
}

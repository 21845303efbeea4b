import { type CacheOutcome, StoreError } from '@dfs/shared';
import { sendText } from '@dfs/shared/serving';
import type { Request } from 'express';
import {
  askedPriority,
  type CacheTargets,
  cachePriorityMax,
  cachePriorityMin,
} from '../../caching/cache-control.ts';
import type { Exchange } from '../http/exchange.ts';
import { checkServing, type Front } from '../http/front.ts';
import { sendJson } from '../http/send.ts';
import { ownNodeOf } from './information.ts';
import { type QueryForm, readQueryForm } from './read-query-form.ts';
import { somewhere } from './somewhere.ts';

/** `POST /api/v1/cache`: the node of this instance keeps a copy for readers; where there is none of its name, another one does. Answers a line that says what happens. */
export async function cacheHere(front: Front, exchange: Exchange, request: Request): Promise<void> {
  const { caching } = front;
  const form = await readCacheForm(front, exchange, request);
  const own = ownNodeOf(front, exchange);
  const outcomes = await caching.control.cacheOn(form.path, targetsOf(own?.id ?? 1, form));
  sendText(exchange, lineOf(outcomes, form.reference));
}

/** `POST /api/v1/shard_cache`: every node does. Answers JSON, what became of it at each. */
export async function cacheOnAll(
  front: Front,
  exchange: Exchange,
  request: Request,
): Promise<void> {
  const form = await readCacheForm(front, exchange, request);
  const outcomes = await front.caching.control.cacheOn(form.path, targetsOf('all', form));
  sendJson(exchange, 200, outcomes.map(instanceOutcomeOf));
}

/** `POST /api/v1/delete_cache`: no node does any more. Answers the reference. */
export async function dropCaches(
  front: Front,
  exchange: Exchange,
  request: Request,
): Promise<void> {
  const { path, reference } = await readCacheForm(front, exchange, request);
  await front.caching.control.dropCaches(path);
  sendText(exchange, reference);
}

async function readCacheForm(
  front: Front,
  exchange: Exchange,
  request: Request,
): Promise<QueryForm> {
  const { access, nodes } = front;
  access.authorize(exchange.principal, 'write', somewhere(exchange));
  checkServing(nodes);
  const form = await readQueryForm(front, exchange, request);
  access.authorize(exchange.principal, 'write', { path: form.path });
  return form;
}

const targetsOf = (nodes: CacheTargets['nodes'], { priority }: QueryForm): CacheTargets => ({
  nodes,
  priority: readPriority(priority),
});

/** Any number; ours are fewer, so what is beyond them counts as the last one. */
function readPriority(text: string | undefined): number {
  if (text === undefined) return askedPriority;
  const priority = Math.round(Number(text));
  if (Number.isFinite(priority)) {
    return Math.max(cachePriorityMin, Math.min(cachePriorityMax, priority));
  }
  throw new StoreError('invalid-request', 'The priority is no number.');
}

const instanceOutcomeOf = ({ node, outcome, message }: CacheOutcome) => ({
  instance_name: node.name,
  outcome,
  ...(message === undefined ? {} : { message }),
});

function lineOf(outcomes: readonly CacheOutcome[], reference: string): string {
  const failed = outcomes.find(({ outcome }) => outcome === 'failed');
  if (failed) {
    const reason = failed.message ?? 'It gives no reason.';
    throw new StoreError('unavailable', `${failed.node.name} cannot cache ${reference}: ${reason}`);
  }
  const [first] = outcomes;
  if (first === undefined || first.outcome === 'stored') return 'Owns the file';
  const verb = first.outcome === 'cached' ? 'Cached' : 'Caching';
  return `${verb} file ${reference} on instance ${first.node.name}`;
}

import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs, StoreError, type StoreErrorKind } from '@dfs/shared';
import type { ClusterKeyring, Logger, ProgramTls } from '@dfs/shared/cluster';
import { MasterClient } from './master-client.ts';

/** These mean that the other end is not there yet; any other refusal will not change by waiting. */
const passingKinds: ReadonlySet<StoreErrorKind> = new Set([
  'unavailable',
  'in-recovery',
  'internal',
  'too-many-requests',
]);

const pauseMaxMs = 30_000;

export interface FindMasterOptions {
  readonly keyring: ClusterKeyring;
  readonly tls: ProgramTls;
  readonly logger: Logger;
  readonly random: () => number;
  /** Aborted when the program shall stop: nothing is asked any more. */
  readonly signal: AbortSignal;
}

/**
 * Asks any public listener of a cluster (`http://host:port`) where its master's management port is, again and again with growing pauses while it gives no answer. Rejects with
 * `unauthorized` when it does not take this node's key, `invalid-request` when it is no such listener, and when `signal` is aborted.
 */
export async function findMaster(
  instanceUrl: string,
  { keyring, tls, logger, random, signal }: FindMasterOptions,
): Promise<string> {
  const client = new MasterClient({ url: instanceUrl, keyring, trust: tls.trust });
  try {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return managementOf(await client.post('/api/v1/register', {}, signal), instanceUrl);
      } catch (error) {
        if (!isPassing(error) || signal.aborted) throw toldOf(error, instanceUrl);
        if (attempt === 1) {
          logger.warn('the gossip instance gives no answer: it is asked again', {
            instance: instanceUrl,
            reason: error.message,
          });
        }
      }
      await delay(Math.min(pauseMaxMs, backoffMs(attempt, random())), undefined, { signal });
    }
  } finally {
    await client.close();
  }
}

function managementOf(answer: unknown, instanceUrl: string): string {
  const management = (answer as { management?: unknown } | undefined)?.management;
  if (typeof management === 'string' && /^https?:\/\/[^/]+\/?$/.test(management)) {
    return management.replace(/\/$/, '');
  }
  throw new StoreError('not-found', `${instanceUrl} told no management address.`);
}

const isPassing = (error: unknown): error is StoreError =>
  error instanceof StoreError && passingKinds.has(error.kind);

/** What people are told of a refusal that ends the program. */
function toldOf(error: unknown, instanceUrl: string): unknown {
  if (!(error instanceof StoreError)) return error;
  if (error.kind === 'unauthorized' || error.kind === 'forbidden') {
    return new StoreError(
      'unauthorized',
      `The instance at ${instanceUrl} refused the key of this node.`,
      { hint: 'Start both with the same SHARD_KEY (or DFS_CLUSTER_KEY).', cause: error },
    );
  }
  return new StoreError(
    'invalid-request',
    `${instanceUrl} is no dfs instance that can be joined: ${error.message}`,
    { hint: 'Give GOSSIP_INSTANCE the address of a public port: host or host:port.', cause: error },
  );
}

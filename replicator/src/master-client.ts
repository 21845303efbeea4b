import { setTimeout as sleep } from 'node:timers/promises';
import type { SecureContext } from 'node:tls';
import {
  errorOfAnswer,
  type LeaseAnswer,
  type LeaseRequest,
  type NodeId,
  type NodeMap,
  type NodeMapEntry,
  type ReplicationAttempt,
  type ReplicationReport,
  StoreError,
  trusting,
} from '@dfs/shared';
import { type ClusterKeyring, type Logger, networkCodeOf } from '@dfs/shared/cluster';
import { Pool } from 'undici';
import type { KnownNodes } from './copy-blob.ts';

export interface MasterClientOptions {
  /** The master's management address, without a trailing slash. */
  readonly masterUrl: string;
  readonly keyring: ClusterKeyring;
  /** Checks the certificate of the master; absent: what Node.js trusts anyway. */
  readonly trust?: SecureContext | undefined;
  readonly logger: Logger;
}

const connectMs = 3_000;
const answerMs = 30_000;
/** Beyond the time that a lease is held by the master. */
const leaseMarginMs = 10_000;
const refreshEveryMs = 30_000;
const refreshAtMostEveryMs = 200;

/** The master's management port as the replicator needs it: the map of nodes, leases, reports. */
export class MasterClient implements KnownNodes {
  readonly #options: MasterClientOptions;
  readonly #pool: Pool;
  readonly #prefix: string;
  #nodes = new Map<NodeId, NodeMapEntry>();
  #epoch = 0;
  #refreshing: Promise<void> | undefined;
  #loadedAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: MasterClientOptions) {
    this.#options = options;
    const { origin, pathname } = new URL(options.masterUrl);
    this.#prefix = pathname.replace(/\/+$/, '');
    // One connection waits with a lease while another reports.
    this.#pool = new Pool(origin, {
      connections: 4,
      connect: { timeout: connectMs, ...trusting(options.trust) },
    });
  }

  /** The database's epoch as the master told it last. */
  get epoch(): number {
    return this.#epoch;
  }

  find(id: NodeId): NodeMapEntry | undefined {
    return this.#nodes.get(id);
  }

  /** The first map of nodes; the map is kept fresh from then on. Rejects with what the master answers, or `unavailable`. */
  async start(): Promise<void> {
    await this.#loadNodes();
    this.#timer = setInterval(() => this.refresh(), refreshEveryMs);
    this.#timer.unref();
  }

  /** What asks while the last answer is very new waits a little, and shares one request with others. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  lease(request: LeaseRequest, signal: AbortSignal): Promise<LeaseAnswer> {
    const waitMs = request.waitMs + leaseMarginMs;
    return this.#ask<LeaseAnswer>('POST', '/cluster/leases', { body: request, waitMs, signal });
  }

  async report(attempts: readonly ReplicationAttempt[], signal: AbortSignal): Promise<void> {
    const body: ReplicationReport = { attempts };
    await this.#ask('POST', '/cluster/replications', { body, signal });
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#pool.destroy();
  }

  async #refresh(): Promise<void> {
    await sleep(this.#loadedAt + refreshAtMostEveryMs - performance.now());
    try {
      await this.#loadNodes();
    } catch (error) {
      this.#options.logger.debug('the map of nodes could not be refreshed', { error });
    }
  }

  async #loadNodes(): Promise<void> {
    const map = await this.#ask<NodeMap>('GET', '/cluster/nodes', {});
    this.#nodes = new Map(map.nodes.map((node) => [node.id, node]));
    this.#epoch = map.epoch;
    this.#loadedAt = performance.now();
  }

  async #ask<Answer>(
    method: 'GET' | 'POST',
    path: string,
    { body, waitMs = answerMs, signal }: { body?: unknown; waitMs?: number; signal?: AbortSignal },
  ): Promise<Answer> {
    const { status, headers, text } = await this.#exchange(method, path, { body, waitMs, signal });
    if (status >= 300) {
      const retryAfter = headers['retry-after'];
      throw errorOfAnswer(status, text, typeof retryAfter === 'string' ? retryAfter : undefined);
    }
    try {
      return (status === 204 ? undefined : JSON.parse(text)) as Answer;
    } catch (cause) {
      const message = `What answers at ${this.#options.masterUrl} is no dfs master.`;
      throw new StoreError('unavailable', message, { cause });
    }
  }

  async #exchange(
    method: 'GET' | 'POST',
    path: string,
    request: { body: unknown; waitMs: number; signal: AbortSignal | undefined },
  ) {
    const key = this.#options.keyring.current();
    try {
      const answer = await this.#pool.request({
        method,
        path: this.#prefix + path,
        headers: {
          'content-type': 'application/json',
          ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
        },
        headersTimeout: request.waitMs,
        bodyTimeout: answerMs,
        ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
        ...(request.signal ? { signal: request.signal } : {}),
      });
      return {
        status: answer.statusCode,
        headers: answer.headers,
        text: await answer.body.text(),
      };
    } catch (cause) {
      if (request.signal?.aborted) {
        throw new StoreError('cancelled', 'The request to the master was cancelled.', { cause });
      }
      const message = `The master at ${this.#options.masterUrl} gave no answer (${networkCodeOf(cause)}).`;
      throw new StoreError('unavailable', message, { cause });
    }
  }
}

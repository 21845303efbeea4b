import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import {
  type DamageReport,
  errorBodyOf,
  type Heartbeat,
  type HeartbeatAnswer,
  httpStatusOf,
  StoreError,
} from '@dfs/shared';
import { listen } from '@dfs/shared/cluster';
import { testClusterId } from '@dfs/shared/testing';

/**
 * The management port of a master as far as storage nodes know it. What it answers is set from
 * outside.
 */
export class FakeMaster {
  /** Throws what the next heartbeats are refused with. */
  refuse: ((heartbeat: Heartbeat) => StoreError | undefined) | undefined;
  answer: Partial<HeartbeatAnswer> = {};
  readonly heartbeats: Heartbeat[] = [];
  readonly damages: DamageReport['damages'][number][] = [];
  url = '';
  readonly #clusterKey: string | undefined;
  readonly #waiting = new Set<() => void>();
  readonly #server = createServer((request, response) => {
    void this.#handle(request, response);
  });

  private constructor(clusterKey: string | undefined) {
    this.#clusterKey = clusterKey;
  }

  /** Starts one on a port of its own, or on `port`. */
  static async start({ clusterKey, port = 0 }: { clusterKey?: string; port?: number } = {}) {
    const master = new FakeMaster(clusterKey);
    const bound = await listen(master.#server, { host: '127.0.0.1', port });
    master.url = `http://127.0.0.1:${bound}`;
    return master;
  }

  /** Resolves once `isTrue` holds; it is asked again after each message. */
  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const isKnown =
        this.#clusterKey === undefined ||
        request.headers.authorization === `Bearer ${this.#clusterKey}`;
      if (!isKnown) throw new StoreError('unauthorized', 'The cluster key is wrong.');
      const answer = this.#take(request.url ?? '', await json(request));
      response.writeHead(answer ? 200 : 204, { 'content-type': 'application/json' });
      response.end(answer && JSON.stringify(answer));
    } catch (error) {
      const kind = error instanceof StoreError ? error.kind : 'internal';
      response.writeHead(httpStatusOf[kind]).end(JSON.stringify(errorBodyOf(error)));
    }
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const look of waiting) look();
  }

  #take(path: string, message: unknown): HeartbeatAnswer | undefined {
    if (path === '/cluster/damage') {
      this.damages.push(...(message as DamageReport).damages);
      return undefined;
    }
    const heartbeat = message as Heartbeat;
    const refusal = this.refuse?.(heartbeat);
    if (refusal) throw refusal;
    this.heartbeats.push(heartbeat);
    return {
      clusterId: testClusterId,
      epoch: 1,
      journal: 0,
      masterTimeMs: Date.now(),
      heartbeatEveryMs: 100,
      ...this.answer,
    };
  }
}

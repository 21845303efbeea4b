import type { ShareAnswer } from '@dfs/shared';
import { TrustedProxies } from '@dfs/shared/serving';
import { FakeClock } from '@dfs/shared/testing';
import { afterEach, beforeEach, expect } from 'vitest';
import { TestPublicServer } from '../../testing/test-public-server.ts';

const json = { 'Content-Type': 'application/json' };

/** A server with two private files and a clock of its own for each test of the file that makes one. */
export class TestSharing {
  clock = new FakeClock();
  #server: TestPublicServer | undefined;

  constructor() {
    beforeEach(async () => {
      this.clock = new FakeClock();
      this.#server = await new TestPublicServer({
        clock: this.clock,
        clusterKeyAlso: 'the key before',
        proxies: TrustedProxies.of('loopback'),
      }).start();
      await this.#server.files.add('/a b.txt', 'secret text');
      await this.#server.files.add('/other.txt', 'another secret');
    });
    afterEach(() => this.#server?.stop());
  }

  get server(): TestPublicServer {
    if (!this.#server) throw new Error('The server was not started.');
    return this.#server;
  }

  /** With the cluster key. */
  readonly ask = async (method: string, path: string, body?: unknown) => {
    const answer = await this.server.fetch(path, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: json }),
    });
    return { status: answer.status, body: (await answer.json()) as never };
  };

  readonly share = async (more: object = {}, path = '/a%20b.txt'): Promise<ShareAnswer> => {
    const request = { seconds: 60, ...more };
    const { status, body } = await this.ask('POST', `/api/v1/shares${path}`, request);
    expect(status).toBe(201);
    return body;
  };

  /** As somebody without a key. */
  readonly stranger = (path: string, init: RequestInit = {}) =>
    fetch(path.startsWith('http') ? path : `${this.server.url}${path}`, {
      redirect: 'manual',
      ...init,
    });
}

/** The status of a refusal and what it says. */
export const reasonOf = async (answer: Response) => [
  answer.status,
  ((await answer.json()) as { error: { message: string } }).error.message,
];

import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { errorOfAnswer, StoreError, trusting } from '@dfs/shared';
import type { ClusterKeyring } from '@dfs/shared/cluster';
import { Agent, buildConnector, request as httpRequest } from 'undici';

const connectMs = 2_000;
const answerMs = 5_000;
const answerMaxBytes = 256 * 1024;

/** The master's management port, for a storage node's messages. */
export class MasterClient {
  readonly #url: string;
  readonly #keyring: ClusterKeyring;
  readonly #agent: Agent;
  #localAddress: string | undefined;

  constructor({
    url,
    keyring,
    trust,
    connections = 4,
  }: {
    readonly url: string;
    readonly keyring: ClusterKeyring;
    readonly trust: SecureContext | undefined;
    /** At most. */
    readonly connections?: number;
  }) {
    this.#url = url;
    this.#keyring = keyring;
    const connect = buildConnector({ timeout: connectMs, ...trusting(trust) });
    this.#agent = new Agent({
      connections,
      headersTimeout: answerMs,
      bodyTimeout: answerMs,
      connect: (options, callback) =>
        connect(options, (...result: Parameters<typeof callback>) => {
          this.#localAddress = (result[1] as Socket | null)?.localAddress ?? this.#localAddress;
          callback(...result);
        }),
    });
  }

  /** This machine's address on the way to the master, once it was reached. */
  get localAddress(): string | undefined {
    return this.#localAddress;
  }

  /**
   * Sends a message and gives the answer. Rejects with the master's refusal, or with `unavailable`
   * when it gave no answer that makes sense; aborts with `signal`.
   */
  async post<Answer>(
    path: string,
    message: unknown,
    signal?: AbortSignal,
  ): Promise<Answer | undefined> {
    const { status, text, retryAfter } = await this.#exchange(path, message, signal);
    if (status >= 300) throw errorOfAnswer(status, text, retryAfter);
    if (text === '') return undefined;
    try {
      return JSON.parse(text) as Answer;
    } catch (cause) {
      throw new StoreError('unavailable', `${this.#url} does not answer like a master.`, { cause });
    }
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }

  async #exchange(path: string, message: unknown, signal: AbortSignal | undefined) {
    try {
      const { statusCode, headers, body } = await httpRequest(this.#url + path, {
        dispatcher: this.#agent,
        method: 'POST',
        headers: messageHeaders(this.#keyring),
        body: JSON.stringify(message),
        ...(signal ? { signal } : {}),
      });
      let text = '';
      for await (const chunk of body) {
        text += (chunk as Buffer).toString();
        if (text.length > answerMaxBytes) throw new Error('The answer is too long.');
      }
      return { status: statusCode, text, retryAfter: headers['retry-after']?.toString() };
    } catch (cause) {
      const { code, message: reason } = cause as NodeJS.ErrnoException;
      throw new StoreError(
        'unavailable',
        `The master at ${this.#url} gives no answer (${code ?? reason}).`,
        { cause },
      );
    }
  }
}

/** What goes with each message to the master. */
export function messageHeaders(keyring: ClusterKeyring): Record<string, string> {
  const key = keyring.current();
  return {
    'content-type': 'application/json',
    ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
  };
}

import type { IncomingMessage } from 'node:http';
import { expect } from 'vitest';
import type {
  ListAnswer,
  LogAnswer,
  NodeAnswer,
  PutAnswer,
  ReplicaAnswer,
  StatAnswer,
  StatusAnswer,
} from './answers.ts';
import { copiesOnDisk, stagedOnDisk } from './disk.ts';
import { type HttpAnswer, type HttpRequest, openHttp, sendHttp } from './http.ts';
import { type Finished, type Program, type StartOptions, startDfs } from './program.ts';
import { type WaitOptions, waitUntil } from './wait-until.ts';

/** A path of the store as it stands in a URL. */
export const urlPathOf = (path: string) => path.split('/').map(encodeURIComponent).join('/');

export interface StoreRequest extends HttpRequest {
  /** False: as a stranger. */
  readonly withKey?: boolean;
}

/** A running store as a client sees it: its public address, the key, and the `dfs` command. */
export abstract class Store {
  abstract readonly url: string;
  abstract readonly key: string;
  /** PEM of who signed its certificates, where it speaks HTTPS. */
  readonly ca: string | undefined;
  /** In which the command finds this store and leaves the user's own alone. */
  abstract readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where its nodes keep their blobs. */
  abstract nodeDirectories(): readonly string[];

  /** Runs the `dfs` command to its end. */
  dfs(args: readonly string[], options: StartOptions = {}): Promise<Finished> {
    return this.startDfs(args, options).finished;
  }

  /** Runs it, expects success, and gives what it printed as JSON. */
  async dfsJson<T>(args: readonly string[], options: StartOptions = {}): Promise<T> {
    const [command = '', ...rest] = args;
    const finished = await this.dfs([command, '--json', ...rest], options);
    expect(finished.code, finished.stderr).toBe(0);
    return finished.json<T>();
  }

  startDfs(args: readonly string[], options: StartOptions = {}): Program {
    const environment = { ...this.environment, ...options.environment };
    return startDfs(args, { ...options, environment });
  }

  send({ withKey = true, ...asked }: StoreRequest): Promise<HttpAnswer> {
    return sendHttp(this.url, {
      ...this.#trust(),
      ...asked,
      headers: this.#headers(asked, withKey),
    });
  }

  /** As `send`, but the body is for the caller to read. */
  open({ withKey = true, ...asked }: StoreRequest): Promise<IncomingMessage> {
    return openHttp(this.url, {
      ...this.#trust(),
      ...asked,
      headers: this.#headers(asked, withKey),
    });
  }

  /** PUT of a body to a path; whatever the answer is. */
  put(
    path: string,
    body: NonNullable<HttpRequest['body']>,
    { query = '', headers = {} }: { query?: string; headers?: Record<string, string> } = {},
  ): Promise<HttpAnswer> {
    return this.send({ method: 'PUT', path: `/fs${urlPathOf(path)}${query}`, body, headers });
  }

  /** A PUT that must succeed. */
  async store(
    path: string,
    body: NonNullable<HttpRequest['body']>,
    options: { query?: string; headers?: Record<string, string> } = {},
  ): Promise<PutAnswer> {
    const answer = await this.put(path, body, options);
    expect([200, 201], answer.text).toContain(answer.status);
    return answer.json<PutAnswer>();
  }

  get(path: string, headers: Record<string, string> = {}, query = ''): Promise<HttpAnswer> {
    return this.send({ path: `/fs${urlPathOf(path)}${query}`, headers });
  }

  remove(path: string, headers: Record<string, string> = {}): Promise<HttpAnswer> {
    return this.send({ method: 'DELETE', path: `/fs${urlPathOf(path)}`, headers });
  }

  status = () => this.#json<StatusAnswer>('/api/v1/status');
  nodes = () => this.#json<NodeAnswer[]>('/api/v1/nodes');
  stat = (path: string) => this.#json<StatAnswer>(`/api/v1/stat${urlPathOf(path)}`);
  replicas = (path: string) => this.#json<ReplicaAnswer[]>(`/api/v1/replicas${urlPathOf(path)}`);
  log = (query: Record<string, string> = {}) =>
    this.#json<LogAnswer[]>(`/api/v1/log?${new URLSearchParams(query)}`);

  /** Names in a directory. */
  names = async (path = '/') => (await this.list(path)).map(({ name }) => name);

  /** A directory, all pages. */
  async list(path: string): Promise<ListAnswer['entries']> {
    const entries: ListAnswer['entries'][number][] = [];
    let next: string | undefined;
    do {
      const after = next === undefined ? '' : `?after=${encodeURIComponent(next)}`;
      const folder = `/fs${urlPathOf(path).replace(/\/?$/, '/')}${after}`;
      const answer = await this.send({ path: folder, headers: { Accept: 'application/json' } });
      expect(answer.status, answer.text).toBe(200);
      const page = answer.json<ListAnswer>();
      entries.push(...page.entries);
      next = page.next;
    } while (next !== undefined);
    return entries;
  }

  isReady = async () =>
    (await sendHttp(this.url, { path: '/readyz' }).catch(() => undefined))?.status === 200;

  /** Resolves once these files have so many stored copies, and no copy that is none. */
  async waitForCopies(paths: readonly string[], count: number, wait: WaitOptions = {}) {
    for (const path of paths) {
      await waitUntil(
        `${count} stored copies of ${path}`,
        async () => {
          const [{ blobs }, replicas] = [await this.stat(path), await this.replicas(path)];
          const states = replicas.map((replica) => replica.state).join(', ');
          if (replicas.some((replica) => replica.state !== 'stored')) throw new Error(states);
          if (replicas.length === count * blobs.length) return true;
          throw new Error(`${states} of ${blobs.length} blobs`);
        },
        wait,
      );
    }
  }

  /** Resolves once every node that keeps the journal has all of it. */
  waitUntilShipped(): Promise<unknown> {
    return waitUntil('the journal to be shipped', async () => {
      const { text } = await this.send({ path: '/metrics' });
      const lags = [...text.matchAll(/^dfs_journal_lag_records\{.*\} (\d+)$/gm)];
      return lags.length > 0 && lags.every(([, count]) => count === '0');
    });
  }

  /** Resolves once every copy that is wanted is stored and nothing waits to be dropped. */
  waitForAllCopies(wait: WaitOptions = {}): Promise<StatusAnswer> {
    return waitUntil(
      'all copies',
      async () => {
        const status = await this.status();
        const { wanted, corrupt, dropping } = status.replicas;
        const isDone = wanted + corrupt + dropping + status.blobsShort === 0;
        if (isDone && status.health === 'whole') return status;
        throw new Error(JSON.stringify(status));
      },
      wait,
    );
  }

  /**
   * Resolves once the nodes hold exactly the copies of the files that there are: nothing is missing, and nothing is left over of what was deleted, replaced or
   * given up.
   */
  waitUntilTidy(wait: WaitOptions = {}): Promise<StatusAnswer> {
    return waitUntil(
      'disks that hold the copies of the files there are and nothing else',
      async () => {
        const status = await this.waitForAllCopies({ withinMs: 0 });
        const { copies, staged } = await this.onDisk();
        const facts = `${copies} copies on disks, ${staged} staged; ${JSON.stringify(status)}`;
        if (copies !== status.replicas.stored || staged > 0) throw new Error(facts);
        const wanted = await this.#copiesBelow('/');
        if (copies === wanted) return status;
        throw new Error(`${wanted} copies wanted of all files; ${facts}`);
      },
      { withinMs: 90_000, everyMs: 250, ...wait },
    );
  }

  /** How many copies lie on the disks of all nodes, and how many files wait to become one. */
  async onDisk(): Promise<{ copies: number; staged: number }> {
    const folders = this.nodeDirectories();
    const copies = await Promise.all(folders.map(copiesOnDisk));
    const staged = await Promise.all(folders.map(stagedOnDisk));
    return { copies: copies.flat().length, staged: staged.flat().length };
  }

  /** How many copies the files in a directory and below it want in all. */
  async #copiesBelow(directory: string): Promise<number> {
    let count = 0;
    for (const { name, kind } of await this.list(directory)) {
      const path = `${directory.replace(/\/$/, '')}/${name}`;
      if (kind === 'directory') {
        count += await this.#copiesBelow(path);
        continue;
      }
      const { blobs, copies } = await this.stat(path);
      count += blobs.length * copies.wanted;
    }
    return count;
  }

  async #json<T>(path: string): Promise<T> {
    const answer = await this.send({ path });
    expect(answer.status, `${path}: ${answer.text}`).toBe(200);
    return answer.json<T>();
  }

  #trust() {
    return this.ca === undefined ? {} : { ca: this.ca };
  }

  #headers({ headers = {} }: HttpRequest, withKey: boolean) {
    return { ...(withKey ? { Authorization: `Bearer ${this.key}` } : {}), ...headers };
  }
}

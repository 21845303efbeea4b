import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import {
  type CacheOrder,
  type CacheOutcome,
  type FilePath,
  type FoundEntry,
  type HotAnswer,
  type ListAnswer,
  type ListAnswerEntry,
  type NodeAnswer,
  type NodeName,
  type PutAnswer,
  parseFilePath,
  type RebalanceAnswer,
  rootPath,
  type StatAnswer,
  type StatusAnswer,
  type TrashAnswer,
  type TrashEmptyAnswer,
  type TrashEmptyRequest,
  type TrashItem,
  type TrashRestoreAnswer,
  type TrashRestoreRequest,
  type UsageAnswer,
  urlPathOf,
} from '@dfs/shared';
import { StoreApi, type StreamedAnswer } from '../api.ts';
import type { ClientConfig } from '../client-config.ts';
import { linesOf } from '../lines.ts';
import { putStream } from '../upload.ts';
import { AccessKeys } from './access-keys.ts';
import { type CopyFailure, copyFailuresOf } from './multistatus.ts';
import { Sharing } from './sharing.ts';

const pageEntries = 1_000;

export interface CopyResult {
  /** Whether nothing had the name before. */
  readonly isNew: boolean;
  /** What could not be copied; the rest was. */
  readonly failures: readonly CopyFailure[];
}

export interface PutOptions {
  /** The time of modification that the file gets; now by default. */
  readonly modified?: Date;
  /** Only in place of the content with this MD5, or, with `none`, only where nothing is. Rejects with `precondition-failed` otherwise. */
  readonly replaces?: string;
  /** Whether a name that is taken is replaced (by default), kept beside a free name, or refused. */
  readonly onConflict?: 'replace' | 'rename' | 'fail';
  /** Answer once this many nodes hold it. */
  readonly minCopies?: number;
  /** Guessed from the name by default. */
  readonly contentType?: string;
  /** Readable without a key. */
  readonly isPublic?: boolean;
}

/**
 * The tree of a store for programs. Paths are absolute and not percent-encoded; every rejection is a `StoreError`, of the kind that the
 * store names. What answers in pages or lines is an async iterator: memory does not grow with the tree.
 */
export class DfsClient {
  readonly api: StoreApi;
  readonly trash: Trash;
  readonly nodes: Nodes;
  readonly sharing: Sharing;
  readonly caches: Caches;
  readonly keys: AccessKeys;

  constructor(store: StoreApi | ClientConfig) {
    this.api = store instanceof StoreApi ? store : new StoreApi(store);
    this.trash = new Trash(this.api);
    this.nodes = new Nodes(this.api);
    this.sharing = new Sharing(this.api);
    this.caches = new Caches(this.api);
    this.keys = new AccessKeys(this.api);
  }

  /**
   * Makes a directory; with `parents` the ones above it too, and one that is there already is fine. Rejects with `conflict` when a parent is
   * missing, and with `method-not-allowed` when the name is taken.
   */
  async makeDirectory(
    path: string,
    { parents = false }: { parents?: boolean } = {},
  ): Promise<{ isNew: boolean }> {
    const { status } = await this.api.send({
      method: 'MKCOL',
      path: `/fs${locate(path)}${parents ? '?parents=1' : ''}`,
    });
    return { isNew: status === 201 };
  }

  /** Moves or renames a file or a whole directory. What it replaces goes to the trash; without `overwrite` a taken name rejects with `precondition-failed`; so does, with `ifMatch`, a source of another MD5. */
  async move(
    from: string,
    to: string,
    { overwrite = true, ifMatch }: { overwrite?: boolean; ifMatch?: string } = {},
  ): Promise<{ isNew: boolean }> {
    const { status } = await this.api.send({
      method: 'MOVE',
      path: `/fs${locate(from)}`,
      headers: {
        Destination: `/fs${locate(to)}`,
        Overwrite: overwrite ? 'T' : 'F',
        ...ifMatchOf(ifMatch),
      },
    });
    return { isNew: status === 201 };
  }

  /**
   * Copies rows, not bytes. `recursive: false` of a directory makes an empty one; `ifMatch`: only while the source has this MD5. Rejects with `internal` when parts failed and the
   * answer does not tell which.
   */
  async copy(
    from: string,
    to: string,
    {
      overwrite = true,
      recursive = true,
      ifMatch,
    }: { overwrite?: boolean; recursive?: boolean; ifMatch?: string } = {},
  ): Promise<CopyResult> {
    const { status, text } = await this.api.send({
      method: 'COPY',
      path: `/fs${locate(from)}`,
      headers: {
        Destination: `/fs${locate(to)}`,
        Overwrite: overwrite ? 'T' : 'F',
        Depth: recursive ? 'infinity' : '0',
        ...ifMatchOf(ifMatch),
      },
    });
    return { isNew: status === 201, failures: status === 207 ? copyFailuresOf(text) : [] };
  }

  /**
   * Removes a file or a whole directory, to the trash unless `trash` is false. With `expect` anything else stays and it rejects: `is-a-directory`,
   * `not-a-directory`, or `conflict` for a directory that is not empty. With `ifMatch` it rejects with `precondition-failed` unless the file has this MD5.
   */
  async remove(
    path: string,
    {
      expect,
      trash = true,
      ifMatch,
    }: { expect?: 'file' | 'empty-directory'; trash?: boolean; ifMatch?: string } = {},
  ): Promise<void> {
    const query = new URLSearchParams();
    if (expect !== undefined) query.set('expect', expect);
    if (!trash) query.set('trash', '0');
    await this.api.send({
      method: 'DELETE',
      path: withQuery(`/fs${locate(path)}`, query),
      headers: ifMatchOf(ifMatch),
    });
  }

  /**
   * A directory's entries, by name in byte order, those with names above `after`. Entries that stay come once, whatever else comes and
   * goes meanwhile.
   */
  async *list(
    path: string,
    { pageSize = pageEntries, after: first = '' }: { pageSize?: number; after?: string } = {},
  ): AsyncGenerator<ListAnswerEntry, void, undefined> {
    for (let after: string | undefined = first; after !== undefined; ) {
      const query = new URLSearchParams({ limit: String(pageSize) });
      if (after !== '') query.set('after', after);
      const page: ListAnswer = await this.api.getJson(`/fs${folder(path)}?${query}`);
      yield* page.entries;
      after = page.next;
    }
  }

  /** All that is below a directory, depth first, names in byte order; without the directory itself. */
  async *find(
    path: string,
    { kind, signal }: { kind?: 'file' | 'directory'; signal?: AbortSignal } = {},
  ): AsyncGenerator<FoundEntry, void, undefined> {
    const query = new URLSearchParams({ format: 'json' });
    if (kind !== undefined) query.set('kind', kind);
    const { body } = await this.api.open(
      `/find${folder(path)}?${query}`,
      signal === undefined ? {} : { signal },
    );
    try {
      for await (const line of linesOf(body)) yield JSON.parse(line) as FoundEntry;
    } catch (error) {
      throw this.api.failure(error);
    }
  }

  stat(path: string): Promise<StatAnswer> {
    return this.api.getJson(`/api/v1/stat${locate(path)}`);
  }

  /** Sizes and counts of all that is below a directory; seconds late. */
  usage(path: string): Promise<UsageAnswer> {
    return this.api.getJson(`/api/v1/usage${locate(path)}`);
  }

  /** Sets the time of modification, now by default; makes an empty file where nothing is, unless `create` is false. */
  async touch(
    path: string,
    { modified, create = true }: { modified?: Date; create?: boolean } = {},
  ): Promise<void> {
    const json = { create, ...(modified ? { modified: modified.toISOString() } : {}) };
    await this.api.send({ method: 'POST', path: `/api/v1/touch${locate(path)}`, json });
  }

  /** How many copies a file, or all below a directory, shall have; null: as the directory above it has it. */
  async setCopies(path: string, copies: number | null): Promise<StatAnswer> {
    const json = { copies };
    return answerOf(
      await this.api.send({ method: 'PUT', path: `/api/v1/copies${locate(path)}`, json }),
    );
  }

  /** Makes a file, or all below a directory, readable without a key or not; `inherit`: as the directory above it is. What is below and says otherwise itself stays as it is. */
  async setVisibility(
    path: string,
    visibility: 'public' | 'private' | 'inherit',
  ): Promise<StatAnswer> {
    const url = `/api/v1/visibility${locate(path)}`;
    return answerOf(await this.api.send({ method: 'PUT', path: url, json: { visibility } }));
  }

  /** Stores bytes under a path and makes the directories above it. Its MD5 is compared on every hop; a stream is sent as it comes, and used up in any case. */
  put(
    path: string,
    content: Uint8Array | string | Readable,
    options: PutOptions = {},
  ): Promise<PutAnswer> {
    const { modified, replaces, onConflict, minCopies, contentType, isPublic } = options;
    const query = new URLSearchParams();
    if (onConflict !== undefined) query.set('onConflict', onConflict);
    if (minCopies !== undefined) query.set('minCopies', String(minCopies));
    if (isPublic) query.set('mode', 'public');
    const url = withQuery(`/fs${locate(path)}`, query);
    const headers = {
      ...(modified === undefined ? {} : { 'X-DFS-Modified': modified.toISOString() }),
      ...(contentType === undefined ? {} : { 'Content-Type': contentType }),
      ...(replaces === undefined ? {} : conditionOf(replaces)),
    };
    if (typeof content !== 'string' && !(content instanceof Uint8Array)) {
      const facts = { path: url, body: content, sizeBytes: undefined, headers };
      return putStream(this.api, { ...facts, onBytes: () => {} });
    }
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    const md5 = createHash('md5').update(bytes).digest('hex');
    return this.api.putBytes(url, bytes, { ...headers, 'X-DFS-MD5': md5 });
  }

  /** A file's bytes, as they come. */
  open(path: string, options: { signal?: AbortSignal } = {}): Promise<StreamedAnswer> {
    return this.api.open(`/fs${locate(path)}`, options);
  }

  status(): Promise<StatusAnswer> {
    return this.api.getJson('/api/v1/status');
  }
}

/** What was removed or replaced, until it expires. */
export class Trash {
  readonly #api: StoreApi;

  constructor(api: StoreApi) {
    this.#api = api;
  }

  /** Newest first; with `path` only what was there or below it. */
  async *list({ path }: { path?: string } = {}): AsyncGenerator<TrashItem, void, undefined> {
    const query = new URLSearchParams({ limit: String(pageEntries) });
    if (path !== undefined) query.set('path', parseFilePath(path));
    for (;;) {
      const page: TrashAnswer = await this.#api.getJson(`/api/v1/trash?${query}`);
      yield* page.items;
      if (page.next === undefined) return;
      query.set('after', page.next);
    }
  }

  /** Brings one item back, by default to where it was; resolves with its path. */
  async restore(
    id: TrashItem['id'],
    options: Omit<TrashRestoreRequest, 'id'> = {},
  ): Promise<FilePath> {
    const json: TrashRestoreRequest = { id, ...options };
    const answer = await this.#api.send({ method: 'POST', path: '/api/v1/trash/restore', json });
    return answerOf<TrashRestoreAnswer>(answer).path as FilePath;
  }

  /** Deletes for good: these, or what was at or below the path, or all. Resolves with the number of items. */
  async empty(what: TrashEmptyRequest = {}): Promise<number> {
    const answer = await this.#api.send({
      method: 'POST',
      path: '/api/v1/trash/empty',
      json: what,
    });
    return answerOf<TrashEmptyAnswer>(answer).removed;
  }
}

/** What nodes keep in their caches for readers. */
export class Caches {
  readonly #api: StoreApi;

  constructor(api: StoreApi) {
    this.#api = api;
  }

  /** Has nodes fetch a file into their caches, in the background; resolves with what each node says. Rejects with `not-found`, `is-a-directory`. */
  async order(path: string, order: CacheOrder = {}): Promise<CacheOutcome[]> {
    const url = `/api/v1/caches${locate(path)}`;
    return answerOf(await this.#api.send({ method: 'POST', path: url, json: order }));
  }

  /** Has every node that is there let go of a file. Rejects with `not-found`, `is-a-directory`. */
  async drop(path: string): Promise<CacheOutcome[]> {
    const url = `/api/v1/caches${locate(path)}`;
    return answerOf(await this.#api.send({ method: 'DELETE', path: url }));
  }

  /** The files that are read often, and where they are cached for that. */
  hot(): Promise<HotAnswer> {
    return this.#api.getJson('/api/v1/hot');
  }
}

/** The storage nodes. */
export class Nodes {
  readonly #api: StoreApi;

  constructor(api: StoreApi) {
    this.#api = api;
  }

  list(): Promise<NodeAnswer[]> {
    return this.#api.getJson('/api/v1/nodes');
  }

  /** Has all copies on a node made elsewhere and dropped from it, or stops that. `node`: its id, or its name where no other has it. */
  async drain(node: string, { cancel = false }: { cancel?: boolean } = {}): Promise<NodeAnswer> {
    const path = `/api/v1/nodes/${encodeURIComponent(node)}/drain`;
    const { text } = await this.#api.send({ method: 'POST', path, json: { cancel } });
    return JSON.parse(text) as NodeAnswer;
  }

  /** Takes a node out for good. Rejects with `conflict` while it holds the only copy of something, unless `force`. */
  async remove(node: string, { force = false }: { force?: boolean } = {}): Promise<NodeName> {
    const path = `/api/v1/nodes/${encodeURIComponent(node)}${force ? '?force=1' : ''}`;
    const { text } = await this.#api.send({ method: 'DELETE', path });
    return JSON.parse(text) as NodeName;
  }

  /** Moves copies from fuller nodes to emptier ones until they differ little, or stops that. */
  async rebalance({ cancel = false }: { cancel?: boolean } = {}): Promise<RebalanceAnswer> {
    const path = '/api/v1/rebalance';
    const { text } = await this.#api.send({ method: 'POST', path, json: { cancel } });
    return JSON.parse(text) as RebalanceAnswer;
  }
}

const locate = (path: string) => urlPathOf(parseFilePath(path));

function folder(path: string): string {
  const judged = parseFilePath(path);
  return judged === rootPath ? '/' : `${urlPathOf(judged)}/`;
}

const conditionOf = (replaces: string): Record<string, string> =>
  replaces === 'none' ? { 'If-None-Match': '*' } : ifMatchOf(replaces);

const ifMatchOf = (md5: string | undefined): Record<string, string> =>
  md5 === undefined ? {} : { 'If-Match': `"${md5}"` };

const withQuery = (path: string, query: URLSearchParams) =>
  query.size === 0 ? path : `${path}?${query}`;

const answerOf = <T>({ text }: { text: string }) => JSON.parse(text) as T;

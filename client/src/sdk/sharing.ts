import {
  type GrantAnswer,
  type GrantRequest,
  type GrantsAnswer,
  parseFilePath,
  rootPath,
  type ShareAnswer,
  type ShareRequest,
  StoreError,
  type UnshareAnswer,
  urlPathOf,
} from '@dfs/shared';
import type { StoreApi } from '../api.ts';

const pageEntries = 1_000;
const mount = '/api/v1';

/** Single private files, opened to others for a time. Paths are absolute and not percent-encoded; every rejection is a `StoreError`. */
export class Sharing {
  readonly #api: StoreApi;

  constructor(api: StoreApi) {
    this.#api = api;
  }

  /** Makes a link that opens a file. Rejects with `conflict` when it is public, or the cluster has no key. */
  share(path: string, options: ShareRequest): Promise<ShareAnswer> {
    return this.#send('POST', `${mount}/shares${locate(path)}`, options);
  }

  /** Revokes one link, given as it was made or by its signature alone. Rejects with `invalid-request` for what is none. */
  async revoke(link: string): Promise<UnshareAnswer> {
    const query = new URLSearchParams({ signature: signatureOf(link) });
    const path = pathOf(link);
    if (path === undefined) return await this.#send('DELETE', `${mount}/shares?${query}`);
    try {
      return await this.#send(
        'DELETE',
        `${mount}/shares?${query}&path=${encodeURIComponent(path)}`,
      );
    } catch (error) {
      // A proxy may show the tree at another place than the store.
      if (!(error instanceof StoreError) || error.kind !== 'not-found') throw error;
      return await this.#send('DELETE', `${mount}/shares?${query}`);
    }
  }

  /** Takes back every link to a path and every grant that was made there. Rejects with `not-found` when no file is there; links are revoked all the same. */
  unshare(path: string): Promise<UnshareAnswer> {
    return this.#send('DELETE', `${mount}/shares${locate(path)}`);
  }

  /** Lets an address or a network (CIDR) read a file. Rejects as `share` does. */
  grant(path: string, request: GrantRequest): Promise<GrantAnswer> {
    return this.#send('POST', `${mount}/grants${locate(path)}`, request);
  }

  /** Takes back the grants of a path for exactly this network, or all of them. */
  removeGrants(path: string, network?: string): Promise<UnshareAnswer> {
    const query = network === undefined ? '' : `?${new URLSearchParams({ network })}`;
    return this.#send('DELETE', `${mount}/grants${locate(path)}${query}`);
  }

  /** The grants that hold now, of files that were at the path or below it when they were made; oldest first. */
  async *grants(path: string = rootPath): AsyncGenerator<GrantAnswer, void, undefined> {
    const query = new URLSearchParams({ limit: String(pageEntries) });
    for (;;) {
      const page: GrantsAnswer = await this.#api.getJson(`${mount}/grants${locate(path)}?${query}`);
      yield* page.grants;
      if (page.next === undefined) return;
      query.set('after', page.next);
    }
  }

  async #send<T>(method: string, path: string, json?: unknown): Promise<T> {
    const request = { method, path, ...(json === undefined ? {} : { json }) };
    return JSON.parse((await this.#api.send(request)).text) as T;
  }
}

/** Whether a word is a link rather than a path of the store. */
export const isLink = (word: string) =>
  /^https?:\/\//i.test(word) || /[?&]signature=/.test(word) || bareSignature.test(word);

const bareSignature = /^[A-Za-z0-9_-]{88}$/;

function signatureOf(link: string): string {
  if (bareSignature.test(link)) return link;
  const signature = new URLSearchParams(link.replace(/^[^?]*\??/, '')).get('signature');
  if (signature !== null && signature !== '') return signature;
  throw new StoreError('invalid-request', 'The link has no signature.', {
    hint: 'Give it as "dfs share" printed it, in quotes, or name the path of the file.',
  });
}

/** The path in the store that a link names below `/fs`, if it does. */
function pathOf(link: string): string | undefined {
  const encoded = /^[^?#]*?\/fs(\/[^?#]*)/.exec(link)?.[1];
  if (encoded === undefined) return undefined;
  try {
    return parseFilePath(decodeURIComponent(encoded));
  } catch {
    return undefined;
  }
}

const locate = (path: string) => urlPathOf(parseFilePath(path));

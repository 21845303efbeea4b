import type { IncomingHttpHeaders } from 'node:http';
import { StoreError } from '@dfs/shared';
import type { ClusterKeyring, Logger } from '@dfs/shared/cluster';
import type { AccessKeys } from './access-keys.ts';
import { type Credentials, credentialsOf, parseAccessKey } from './credentials.ts';
import type { FailureThrottle } from './failure-throttle.ts';
import { faultOfLocalRequest } from './local-request.ts';
import { type AccessTarget, isAllowed, type Operation, type Principal } from './rules.ts';

/** Where a request comes from. */
export interface RequestOrigin {
  /** The host of a request target in absolute form. */
  readonly authority?: string | undefined;
  /** Without a port; IPv4 in its plain form. */
  readonly clientAddress: string;
  /** The request itself is still to come, and counts when it is refused then. */
  readonly isAskedAhead?: boolean;
}

export interface AccessControlDependencies {
  /** Without a key every request that this machine's user made is an administrator's. */
  readonly keyring: Pick<ClusterKeyring, 'current' | 'isOne'>;
  readonly accessKeys?: Pick<AccessKeys, 'find'>;
  readonly throttle?: Pick<FailureThrottle, 'check' | 'failed'>;
  readonly logger?: Pick<Logger, 'warn'>;
  /** Called for each wrong key, and for each request that was refused because of earlier ones. */
  readonly onFailure?: (kind: 'wrong-key' | 'throttled') => void;
}

const admin: Principal = { kind: 'admin' };
const anonymous: Principal = { kind: 'anonymous' };

const keyHint =
  'Send the key in the header SHARD-KEY or as "Authorization: Bearer <key>"; the dfs command takes it from DFS_KEY.';

/** The one judge of who may do what. Stands before the file service, in every front. */
export class AccessControl {
  readonly #deps: AccessControlDependencies;

  constructor(dependencies: AccessControlDependencies) {
    this.#deps = dependencies;
  }

  /**
   * Who sent a request with these headers. Rejects with `unauthorized` for a wrong key, whatever is asked for, and with `too-many-requests` when its address sent too many of them; without a
   * configured key with `forbidden` for what a web page may have made this machine's browser send.
   */
  authenticate(
    headers: IncomingHttpHeaders,
    { authority, clientAddress, isAskedAhead = false }: RequestOrigin,
  ): Principal {
    if (this.#deps.keyring.current() === undefined) {
      const fault = faultOfLocalRequest(headers, authority);
      if (fault === undefined) return admin;
      throw new StoreError('forbidden', fault, {
        hint: 'Use http://localhost or http://127.0.0.1, or start the master with a cluster key.',
      });
    }
    const credentials = credentialsOf(headers);
    if (credentials.kind === 'none') return anonymous;
    this.#checkFailures(clientAddress, isAskedAhead);
    const principal = credentials.kind === 'key' ? this.#principalOf(credentials.key) : undefined;
    if (principal) return principal;
    if (!isAskedAhead) this.#failed(credentials, clientAddress);
    throw new StoreError('unauthorized', 'The key is wrong.', { hint: keyHint });
  }

  #principalOf(key: string): Principal | undefined {
    const { keyring, accessKeys } = this.#deps;
    if (keyring.isOne(key)) return admin;
    const accessKey = parseAccessKey(key);
    return accessKey && accessKeys?.find(accessKey);
  }

  #checkFailures(clientAddress: string, isAskedAhead: boolean): void {
    const { throttle, onFailure } = this.#deps;
    try {
      throttle?.check(clientAddress);
    } catch (error) {
      if (!isAskedAhead) onFailure?.('throttled');
      throw error;
    }
  }

  #failed(credentials: Credentials, clientAddress: string): void {
    const { throttle, onFailure, logger } = this.#deps;
    onFailure?.('wrong-key');
    if (!throttle?.failed(clientAddress)) return;
    // The id alone: it is no secret, and tells whose key is old.
    const id = credentials.kind === 'key' ? parseAccessKey(credentials.key)?.id : undefined;
    logger?.warn('a wrong key was sent; more from this address are told in a minute', {
      address: clientAddress,
      ...(id === undefined ? {} : { keyId: id }),
    });
  }

  /** Whether the rules allow it. Give the path wherever there is one: without it only rights over the whole tree count. */
  may(principal: Principal, operation: Operation, target: AccessTarget = {}): boolean {
    return isAllowed(principal, operation, target);
  }

  /** Rejects with `unauthorized` when the principal has proved nothing yet (a key would help), with `forbidden` when its key does not reach that far. */
  authorize(principal: Principal, operation: Operation, target: AccessTarget = {}): void {
    if (this.may(principal, operation, target)) return;
    if (principal.kind !== 'key') {
      throw new StoreError('unauthorized', 'This needs a key.', { hint: keyHint });
    }
    const { id, role, prefix } = principal;
    throw new StoreError(
      'forbidden',
      `The access key ${id} (role ${role}, prefix ${prefix}) ${reachOf(operation, target)}.`,
      { hint: 'Use a key with more rights; an administrator makes one with "dfs key add".' },
    );
  }
}

const reachOf = (operation: Operation, { path }: AccessTarget) =>
  operation === 'admin' && path === undefined
    ? 'is no administrator of the whole cluster'
    : `may not ${verbOf[operation]} ${path ?? 'all of the tree'}`;

const verbOf: Readonly<Record<Operation, string>> = {
  // The same word, so that nobody learns whether something is a file, a directory, or nothing.
  read: 'read',
  list: 'read',
  write: 'write',
  delete: 'delete',
  share: 'share',
  admin: 'administer',
};

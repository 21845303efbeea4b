import type { IncomingHttpHeaders } from 'node:http';
import { keyOfHeaders, StoreError } from '@dfs/shared';
import type { ClusterKeyring } from '@dfs/shared/cluster';
import { faultOfLocalRequest } from './local-request.ts';
import { type AccessTarget, isAllowed, type Operation, type Principal } from './rules.ts';

/** Where a request comes from. */
export interface RequestOrigin {
  /** The host of a request target in absolute form. */
  readonly authority?: string | undefined;
  /** Without a port; IPv4 in its plain form. */
  readonly clientAddress: string;
}

export interface AccessControlDependencies {
  /** Without a key every request that this machine's user made is an administrator's. */
  readonly keyring: Pick<ClusterKeyring, 'current' | 'isOne'>;
  /** Called for each wrong key. */
  readonly onWrongKey?: () => void;
}

const admin: Principal = { kind: 'admin' };
const anonymous: Principal = { kind: 'anonymous' };

const keyHint = 'Send the key in the header SHARD-KEY or as "Authorization: Bearer <key>".';

/** The one judge of who may do what. Stands before the file service, in every front. */
export class AccessControl {
  readonly #deps: AccessControlDependencies;

  constructor(dependencies: AccessControlDependencies) {
    this.#deps = dependencies;
  }

  /**
   * Who sent a request with these headers. Rejects with `unauthorized` for a wrong key, whatever is asked for; without a configured key with
   * `forbidden` for what a web page may have made this machine's browser send.
   */
  authenticate(headers: IncomingHttpHeaders, { authority }: RequestOrigin): Principal {
    const { keyring } = this.#deps;
    if (keyring.current() === undefined) {
      const fault = faultOfLocalRequest(headers, authority);
      if (fault === undefined) return admin;
      throw new StoreError('forbidden', fault, {
        hint: 'Use http://localhost or http://127.0.0.1, or start the master with a cluster key.',
      });
    }
    const given = keyOfHeaders(headers);
    if (given === undefined) {
      // Something that is no key we could read is a wrong one, not none: the sender believes to have proved who they are.
      if (headers.authorization === undefined && headers['shard-key'] === undefined) {
        return anonymous;
      }
    } else if (keyring.isOne(given)) {
      return admin;
    }
    this.#deps.onWrongKey?.();
    throw new StoreError('unauthorized', 'The key is wrong.', { hint: keyHint });
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
  read: 'read',
  list: 'list',
  write: 'write',
  delete: 'delete',
  share: 'share',
  admin: 'administer',
};

import type { IncomingHttpHeaders } from 'node:http';
import { type FilePath, keyOfHeaders, StoreError } from '@dfs/shared';
import type { ClusterKeyring } from '@dfs/shared/cluster';
import { faultOfLocalRequest } from './local-request.ts';

/** Who asks. Later also the holder of an access key, of a signed link, or of an address grant. */
export type Principal = { readonly kind: 'admin' } | { readonly kind: 'anonymous' };

/** What is asked for. `admin` is everything about the cluster rather than about one file. */
export type Operation = 'read' | 'list' | 'write' | 'delete' | 'admin';

/** What it is asked of. */
export interface AccessTarget {
  /** Absent where it is not about the tree. */
  readonly path?: FilePath;
  /** Whether the thing is public; false when there is no such thing, so that a stranger cannot probe for names. */
  readonly isPublic?: boolean;
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
   * `forbidden` for what a web page may have made this machine's browser send. `authority`: the host of a request target in absolute form.
   */
  authenticate(headers: IncomingHttpHeaders, authority?: string): Principal {
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

  may(principal: Principal, operation: Operation, target: AccessTarget = {}): boolean {
    if (principal.kind === 'admin') return true;
    return (operation === 'read' || operation === 'list') && target.isPublic === true;
  }

  /** Rejects with `unauthorized` when the principal has proved nothing yet (a key would help). */
  authorize(principal: Principal, operation: Operation, target: AccessTarget = {}): void {
    if (this.may(principal, operation, target)) return;
    throw new StoreError('unauthorized', 'This needs a key.', { hint: keyHint });
  }
}

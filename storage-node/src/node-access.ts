import type { IncomingMessage } from 'node:http';
import {
  type BlobId,
  type BlobUrlClaims,
  type Clock,
  keyOfHeaders,
  type NodeId,
  nodeHeaders,
  StoreError,
  verifyBlobQuery,
} from '@dfs/shared';
import type { ClusterKeyring } from '@dfs/shared/cluster';

/** Who asks: a program of the cluster, or the holder of a signed link to one blob. */
export type Caller =
  | { readonly kind: 'cluster' }
  | { readonly kind: 'link'; readonly claims: BlobUrlClaims };

export interface NodeAccessOptions {
  readonly nodeId: NodeId;
  /** Without a key the node listens on loopback alone and every local program is one of the cluster. */
  readonly keyring: ClusterKeyring;
  readonly clock: Clock;
}

const localHost = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/i;

/** Who may: the cluster key opens everything, a signed link one blob for reading. */
export class NodeAccess {
  readonly #options: NodeAccessOptions;

  constructor(options: NodeAccessOptions) {
    this.#options = options;
  }

  /** Lets a program of the cluster pass. Rejects others with `unauthorized` or `forbidden`. */
  mustBeCluster(request: IncomingMessage): void {
    const { keyring } = this.#options;
    if (keyring.current() === undefined) {
      mustBeLocal(request);
      return;
    }
    const given = keyOfHeaders(request.headers);
    if (given === undefined) {
      throw new StoreError('unauthorized', 'This storage node wants the cluster key.', {
        hint: 'Users and the dfs command speak to the master.',
      });
    }
    if (!keyring.isOne(given)) {
      throw new StoreError('unauthorized', 'The cluster key is wrong.', {
        hint: 'Give every program of the cluster the same DFS_CLUSTER_KEY or DFS_CLUSTER_KEY_FILE.',
      });
    }
  }

  /**
   * Rejects with `wrong-node` what is meant for another node: two nodes may have swapped addresses.
   */
  mustBeMeantForUs(request: IncomingMessage): void {
    const meant = request.headers[nodeHeaders.node];
    if (meant === this.#options.nodeId) return;
    if (meant === undefined) {
      throw new StoreError('invalid-request', `The request has no ${nodeHeaders.node} header.`, {
        hint: 'Every request names the node it is meant for.',
      });
    }
    throw this.#wrongNode(String(meant));
  }

  /** Who reads a blob. Rejects: `unauthorized`, `forbidden`, `wrong-node`. */
  readerOf(request: IncomingMessage, blobId: BlobId, query: string): Caller {
    const { keyring, clock, nodeId } = this.#options;
    const urlKeys = keyring.blobUrlKeys();
    const isSigned = urlKeys.length > 0 && query.includes('signature=');
    if (!isSigned || keyOfHeaders(request.headers) !== undefined) {
      this.mustBeCluster(request);
      this.mustBeMeantForUs(request);
      return { kind: 'cluster' };
    }
    const claims = verifyBlobQuery(urlKeys, blobId, new URLSearchParams(query), clock.now());
    if (!claims) {
      throw new StoreError('unauthorized', 'The link is not valid, or its time is over.', {
        hint: 'Ask the master for the file again: it gives a new link.',
      });
    }
    if (claims.nodeId !== nodeId) throw this.#wrongNode(claims.nodeId);
    return { kind: 'link', claims };
  }

  #wrongNode(meant: string): StoreError {
    return new StoreError(
      'wrong-node',
      `The request is meant for the node ${meant}; this is ${this.#options.nodeId}.`,
      { hint: 'Ask the master for the current addresses.' },
    );
  }
}

/**
 * Without a key nothing but the place tells friend from foe: a web page must not reach us by the
 * user's browser, under another name or from another origin.
 */
function mustBeLocal({ headers }: IncomingMessage): void {
  const origin = headers.origin;
  const isForeignOrigin =
    origin !== undefined && !(URL.canParse(origin) && localHost.test(new URL(origin).host));
  const isForeign =
    !localHost.test(headers.host ?? '') ||
    isForeignOrigin ||
    headers['sec-fetch-site'] === 'cross-site';
  if (!isForeign) return;
  throw new StoreError(
    'forbidden',
    'A storage node without a cluster key answers local programs only.',
    {
      hint: 'Set DFS_CLUSTER_KEY or DFS_CLUSTER_KEY_FILE on every program of the cluster.',
    },
  );
}

/** Bodies of the public port about sharing single files for a time. Times ISO 8601 in UTC. */

/** `POST /api/v1/shares/<path>`: makes a link. */
export interface ShareRequest {
  /** How long, from now. */
  readonly seconds: number;
  /** The file is to be saved rather than shown. */
  readonly download?: boolean;
  /** Opens whatever content the path has; else only the one that it has now. */
  readonly follow?: boolean;
}

export interface ShareAnswer {
  readonly path: string;
  /** Opens the file for whoever has it. */
  readonly url: string;
  /** What opens it: also as the parameter `signature` of other addresses of the file. */
  readonly signature: string;
  readonly expiresAt: string;
}

/** `DELETE /api/v1/shares/<path>` (all of it), `/api/v1/shares?signature=&path=` (one link; by its content where the path is left out) and `/api/v1/grants/<path>?network=`: what was taken back. */
export interface UnshareAnswer {
  readonly grants: number;
  /** Downloads that ran under it, and were cut. */
  readonly cut: number;
}

/** `POST /api/v1/grants/<path>`: lets a network or an address read a file. */
export interface GrantRequest {
  /** An address or CIDR, IPv4 or IPv6. */
  readonly network: string;
  readonly seconds: number;
}

export interface GrantAnswer {
  readonly path: string;
  /** CIDR. */
  readonly network: string;
  /** The id of an access key, or `admin`. */
  readonly createdBy: string;
  readonly createdAt: string;
  readonly expiresAt: string;
}

/** `GET /api/v1/grants/<path>?after=&limit=`: those of files that were there or below it when it was granted, and that hold now. */
export interface GrantsAnswer {
  readonly grants: readonly GrantAnswer[];
  /** To give as `after` for the next page. */
  readonly next?: string;
}

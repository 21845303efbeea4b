/** Bodies of the public port about who may do what. Times ISO 8601 in UTC. */

/** What the holder of a key may do inside its prefix; each includes the one before. */
export type AccessRole = 'read' | 'write' | 'admin';

/** An access key without its secret. */
export interface AccessKeyAnswer {
  readonly id: string;
  /** For people; may be empty. */
  readonly name: string;
  readonly role: AccessRole;
  /** It opens this path and what is below. */
  readonly prefix: string;
  readonly created: string;
  /** False when no key of the cluster opens its stored secret: then it opens nothing. */
  readonly usable: boolean;
}

/** `GET /api/v1/keys`: those that the caller may administer, by id. */
export interface AccessKeysAnswer {
  readonly keys: readonly AccessKeyAnswer[];
}

/** `POST /api/v1/keys`. */
export interface NewAccessKeyRequest {
  /** For people, at most 100 characters. */
  readonly name?: string;
  /** `read` by default. */
  readonly role?: AccessRole;
  /** `/` by default. */
  readonly prefix?: string;
}

/** Its answer: the only time that the secret is shown. */
export interface NewAccessKeyAnswer extends AccessKeyAnswer {
  /** `<id>.<secret>`, as it is sent. */
  readonly key: string;
}

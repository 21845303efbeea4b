import type { AccessRole, FileId, FilePath } from '@dfs/shared';
import type { Entry, Visibility } from './metadata-repository.ts';

export interface AccessKeyRecord {
  readonly id: string;
  /** For people. */
  readonly name: string;
  readonly role: AccessRole;
  /** It opens this path and what is below. */
  readonly prefix: FilePath;
  /** Sealed; never as it is sent. */
  readonly secret: string;
  readonly createdAtMs: number;
}

/** A network that may read one content for a time. */
export interface AddressGrant {
  /** A UUIDv7. */
  readonly id: string;
  /** Where the file was when it was granted. */
  readonly path: FilePath;
  readonly fileId: FileId;
  /** CIDR. */
  readonly network: string;
  /** Id of the key that granted it, or `admin`. */
  readonly createdBy: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
}

/** Links of this subject that were issued before a time count no more. */
export interface LinkRevocation {
  /** `s:<SHA-256 of the signature, hex>` for one link, `p:<SHA-256 of the path, hex>` for every link to a path, `f:<file id>` for every link of a content. */
  readonly subject: string;
  readonly issuedBeforeMs: number;
  /** From then on no link of the subject can be valid, and the row is not needed any more. */
  readonly expiresAtMs: number;
}

export interface GrantsPage {
  /** By id, so the oldest first. */
  readonly grants: readonly AddressGrant[];
  /** The id to give as `after` for the next page; absent at the end. */
  readonly next?: string;
}

export const accessKeysMax = 10_000;
export const grantsOfFileMax = 1_000;

/** Who may what, as far as it is written down. Part of `MetadataRepository`, whose promises hold here; all of it is journaled. */
export interface Rights {
  /** Rejects with `conflict` when the id is taken, or there are `accessKeysMax` keys already. */
  addAccessKey(key: AccessKeyRecord): Promise<void>;
  /** Puts other sealed secrets in place of those of these keys; keys that are gone stay so. At most 1 000 in one call. */
  resealAccessKeys(secrets: ReadonlyMap<string, string>): Promise<void>;
  /** False when there is no such key. */
  removeAccessKey(id: string): Promise<boolean>;
  /** All of them, by id. */
  listAccessKeys(): Promise<readonly AccessKeyRecord[]>;

  /** Rejects with `conflict` when the content has `grantsOfFileMax` grants already. */
  addGrant(grant: AddressGrant): Promise<void>;
  /** Takes back the grants of a content, or those for exactly this network. Gives how many. */
  removeGrants(query: { readonly fileId: FileId; readonly network?: string }): Promise<number>;
  /** Those of a content that end after `nowMs`. */
  grantsOf(fileId: FileId, nowMs: number): Promise<readonly AddressGrant[]>;
  /** Of files that were at `under` or below when they were granted, also ended ones that are not purged yet. */
  listGrants(page: {
    readonly under: FilePath;
    readonly after?: string;
    readonly limit: number;
  }): Promise<GrantsPage>;

  /** A subject that is revoked already keeps the later one of both times, each. */
  addRevocation(revocation: LinkRevocation): Promise<void>;
  revocationsOf(subjects: readonly string[]): Promise<readonly LinkRevocation[]>;

  /** Forgets grants and revocations that ended before this time, at most 1 000 of each. Gives how many went. */
  purgeRights(beforeMs: number): Promise<number>;

  /** Makes a file or directory public or private, or as the directory above it is. Rejects with `not-found`. */
  setVisibility(path: FilePath, visibility: Visibility): Promise<Entry>;
}

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { type AccessRole, type Clock, type FilePath, StoreError } from '@dfs/shared';
import type { ClusterKeyring, Logger } from '@dfs/shared/cluster';
import type { AccessKeyRecord, Rights } from '../metadata/rights.ts';
import type { AccessKeyText } from './credentials.ts';
import type { Principal } from './rules.ts';
import { openSecret, type SealingKey, sealingKeyOf, sealSecret } from './sealed-secret.ts';

export interface AccessKeysDependencies {
  readonly metadata: Pick<
    Rights,
    'addAccessKey' | 'removeAccessKey' | 'listAccessKeys' | 'resealAccessKeys'
  >;
  readonly keyring: Pick<ClusterKeyring, 'all' | 'onChange'>;
  /** Why the database must not be believed nor changed; undefined when it may. */
  readonly recovery: () => string | undefined;
  /** Whether it is known by now that the database is the one that its nodes belong to. */
  readonly isConfirmed: () => boolean;
  readonly clock: Pick<Clock, 'now'>;
  readonly logger: Logger;
}

/** An access key as administrators see it: without its secret. */
export interface AccessKey {
  readonly id: string;
  readonly name: string;
  readonly role: AccessRole;
  readonly prefix: FilePath;
  readonly createdAtMs: number;
  /** False when no key of the cluster opens its secret: then it opens nothing. */
  readonly isUsable: boolean;
}

export interface NewAccessKey {
  readonly key: AccessKey;
  /** `<id>.<secret>`, as it is sent. Nobody can find it out later. */
  readonly text: string;
}

interface KnownKey {
  readonly record: AccessKeyRecord;
  /** Absent when it could not be opened. */
  readonly opened?: {
    readonly secret: string;
    readonly digest: Buffer;
    /** The fingerprint of the key that it is stored under. */
    readonly sealedWith: string;
  };
}

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
const idLetters = 18;
const secretBytes = 30;
const resealedAtOnce = 1_000;

/**
 * The access keys of the cluster. Their secrets are stored sealed under the current cluster key; those that were sealed under another one that is still accepted are sealed
 * again by `step`. All are held in memory, so that a request is judged without the database.
 */
export class AccessKeys {
  readonly #deps: AccessKeysDependencies;
  #keys: ReadonlyMap<string, KnownKey> = new Map();
  #sealing: readonly SealingKey[] = [];
  /** Something changed that the next `step` has to read. */
  #isStale = true;
  /** The database is another one than the keys in memory came from. */
  #isReplaced = false;
  /** Ends when the last change or reading began so far ended: they go one after the other, so that none brings back what another one removed. */
  #last: Promise<unknown> = Promise.resolve();
  readonly #told = new Set<string>();
  readonly #stopListening: () => void;

  constructor(dependencies: AccessKeysDependencies) {
    this.#deps = dependencies;
    this.#stopListening = dependencies.keyring.onChange(() => {
      this.#isStale = true;
    });
  }

  /** The database was replaced: no access key counts until the next `step` has read it. */
  replaced(): void {
    this.#isReplaced = true;
    this.#isStale = true;
  }

  /** Reads what may have changed, and seals again what has to be. To be called at the start and from time to time. */
  step(): Promise<void> {
    return this.#inOrder(async () => {
      if (this.#isStale) await this.#load();
      await this.#reseal();
    });
  }

  close(): void {
    this.#stopListening();
  }

  /** Whose key this is; undefined when it is none. Rejects with `in-recovery` while the database cannot be believed: it may hold keys that were removed since. */
  find({ id, secret }: AccessKeyText): Principal | undefined {
    const recovery =
      this.#deps.recovery() ?? (this.#isReplaced ? 'The database was just restored.' : undefined);
    if (recovery !== undefined) {
      throw new StoreError('in-recovery', recovery, {
        hint: 'Access keys count again once the database is whole; the cluster key counts now.',
        retryAfterSeconds: 30,
      });
    }
    const known = this.#keys.get(id);
    if (!known?.opened) return undefined;
    if (!timingSafeEqual(digestOf(secret), known.opened.digest)) return undefined;
    const { role, prefix } = known.record;
    return { kind: 'key', id, role, prefix };
  }

  /** By their ids. */
  list(): readonly AccessKey[] {
    return [...this.#keys.values()].map(accessKeyOf);
  }

  /** Undefined when there is none. */
  get(id: string): AccessKey | undefined {
    const known = this.#keys.get(id);
    return known && accessKeyOf(known);
  }

  /** Makes a key. Rejects with `conflict` in a cluster without a cluster key, and when there are too many keys. */
  async add(key: Pick<AccessKeyRecord, 'name' | 'role' | 'prefix'>): Promise<NewAccessKey> {
    const sealing = this.#currentSealing();
    if (!sealing) {
      throw new StoreError(
        'conflict',
        'A cluster without a cluster key has no access keys: whoever reaches it may do everything.',
        {
          hint: 'Start all programs with one DFS_CLUSTER_KEY or DFS_CLUSTER_KEY_FILE first.',
        },
      );
    }
    const id = `dk${[...randomBytes(idLetters)].map((byte) => alphabet[byte & 31]).join('')}`;
    const secret = randomBytes(secretBytes).toString('base64url');
    const record: AccessKeyRecord = {
      ...{ id, name: key.name, role: key.role, prefix: key.prefix },
      secret: sealSecret(secret, id, sealing),
      createdAtMs: this.#deps.clock.now(),
    };
    const opened = { secret, digest: digestOf(secret), sealedWith: sealing.fingerprint };
    const known = { record, opened };
    await this.#change(async () => {
      await this.#deps.metadata.addAccessKey(record);
      this.#keys = new Map([...this.#keys, [id, known] as const].sort(byId));
    });
    return { key: accessKeyOf(known), text: `${id}.${secret}` };
  }

  /** False when there is no such key. From now on it opens nothing. */
  remove(id: string): Promise<boolean> {
    return this.#change(async () => {
      const isGone = await this.#deps.metadata.removeAccessKey(id);
      const keys = new Map(this.#keys);
      keys.delete(id);
      this.#keys = keys;
      return isGone;
    });
  }

  #change<T>(action: () => Promise<T>): Promise<T> {
    return this.#inOrder(async () => {
      try {
        return await action();
      } catch (error) {
        // It may have been done nevertheless.
        this.#isStale = true;
        throw error;
      }
    });
  }

  #inOrder<T>(action: () => Promise<T>): Promise<T> {
    const done = this.#last.then(action);
    this.#last = done.catch(() => undefined);
    return done;
  }

  #currentSealing(): SealingKey | undefined {
    const [current] = this.#deps.keyring.all();
    return current === undefined ? undefined : sealingKeyOf(current);
  }

  async #load(): Promise<void> {
    const { metadata, keyring, logger } = this.#deps;
    this.#isStale = false;
    try {
      this.#sealing = keyring.all().map(sealingKeyOf);
      const before = this.#keys;
      const records = await metadata.listAccessKeys();
      this.#keys = new Map(
        records.map((record) => [record.id, this.#known(record, before.get(record.id))]),
      );
      this.#isReplaced = false;
    } catch (error) {
      this.#isStale = true;
      throw error;
    }
    for (const { record, opened } of this.#keys.values()) {
      if (opened) this.#told.delete(record.id);
      else if (!this.#told.has(record.id)) {
        this.#told.add(record.id);
        logger.warn(
          'an access key cannot be used: it was sealed under another cluster key, or is damaged: give that one as the second key for a moment, or remove it',
          { keyId: record.id, name: record.name },
        );
      }
    }
  }

  /** What was open stays open, also when the key that it is sealed under went meanwhile: it is sealed anew before it is forgotten. */
  #known(record: AccessKeyRecord, before: KnownKey | undefined): KnownKey {
    if (before?.opened && before.record.secret === record.secret)
      return { record, opened: before.opened };
    const opened = openSecret(record.secret, record.id, this.#sealing);
    if (opened.kind !== 'secret') return { record };
    const { secret, sealedWith } = opened;
    return { record, opened: { secret, digest: digestOf(secret), sealedWith } };
  }

  async #reseal(): Promise<void> {
    const { metadata, recovery, isConfirmed, logger } = this.#deps;
    const sealing = this.#currentSealing();
    if (!sealing || recovery() !== undefined || !isConfirmed()) return;
    const due = [...this.#keys.values()].flatMap(({ record, opened }) =>
      opened && opened.sealedWith !== sealing.fingerprint
        ? [[record.id, sealSecret(opened.secret, record.id, sealing)] as const]
        : [],
    );
    for (let at = 0; at < due.length; at += resealedAtOnce) {
      await metadata.resealAccessKeys(new Map(due.slice(at, at + resealedAtOnce)));
    }
    if (due.length === 0) return;
    logger.info('access keys were sealed again under the current cluster key', {
      accessKeys: due.length,
    });
    await this.#load();
  }
}

const byId = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]) =>
  a < b ? -1 : Number(a > b);

const digestOf = (secret: string) => createHash('sha256').update(secret).digest();

const accessKeyOf = ({ record, opened }: KnownKey): AccessKey => ({
  ...{ id: record.id, name: record.name, role: record.role, prefix: record.prefix },
  createdAtMs: record.createdAtMs,
  isUsable: opened !== undefined,
});

import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { EnvironmentReader } from './environment.ts';
import { type FileFault, FileFollower } from './file-follower.ts';
import { awaitKeyFile } from './key-file.ts';
import type { Logger } from './logger.ts';
import { deriveBlobUrlKey } from './node-protocol.ts';

const keyMaxBytes = 1_024;

/** The keys of a moment, with what is derived from them. */
interface Keys {
  readonly all: readonly string[];
  readonly digests: readonly Buffer[];
  readonly blobUrlKeys: readonly Buffer[];
}

const digestOf = (text: string) => createHash('sha256').update(text).digest();

const keysOf = (all: readonly string[]): Keys => ({
  all,
  digests: all.map(digestOf),
  blobUrlKeys: all.map(deriveBlobUrlKey),
});

/**
 * The cluster key, and a second one that is accepted beside it while the key is changed. Programs send and sign with the current one and accept both.
 * A cluster without a key has a keyring without keys.
 */
export class ClusterKeyring {
  #keys: Keys;
  readonly #follower: FileFollower<FoundKeys> | undefined;
  readonly #listeners = new Set<() => void>();

  private constructor(keys: readonly string[], file?: string) {
    this.#keys = keysOf(keys);
    if (file === undefined) return;
    this.#follower = new FileFollower({
      read: () => readKeys(file),
      textOf: linesOf,
      onFound: (found, logger) => this.#change(found, logger),
      faultMessage: 'the key file cannot be used, the keys stay as they were',
    });
  }

  /** A keyring that never changes; `also` is accepted beside the current key. Without keys: that of a cluster without a key. */
  static of(current?: string, also?: string): ClusterKeyring {
    return new ClusterKeyring([current, also].filter((key) => key !== undefined));
  }

  /**
   * The keys from `DFS_CLUSTER_KEY` (or the alias `SHARD_KEY`) and `DFS_CLUSTER_KEY_ALSO`, else from the file that `DFS_CLUSTER_KEY_FILE` names: its first line
   * is the current key, a second one is accepted, too. None when neither is set. A file that is not there yet is made with a random key (`make`), or waited
   * for until another program made it (`wait`; `onWait` is called once). Throws `ConfigurationError` when the file cannot be read, made or used.
   */
  static async read(
    environment: Readonly<Record<string, string | undefined>>,
    whenAbsent: 'make' | 'wait',
    onWait: (file: string) => void = () => {},
  ): Promise<ClusterKeyring> {
    const read = new EnvironmentReader(environment);
    const current = read.optional('DFS_CLUSTER_KEY', 'SHARD_KEY');
    const also = read.secret('DFS_CLUSTER_KEY_ALSO');
    const file = read.optional('DFS_CLUSTER_KEY_FILE');
    if (current !== undefined || file === undefined) {
      if (current === undefined && also !== undefined) {
        read.fault(
          'DFS_CLUSTER_KEY_ALSO is set, but DFS_CLUSTER_KEY is not: set the current key, too.',
        );
      }
      read.finish();
      return ClusterKeyring.of(current, also);
    }
    if (also !== undefined) {
      read.fault(
        'DFS_CLUSTER_KEY_ALSO goes with DFS_CLUSTER_KEY: in a key file, the second line is the key that is accepted, too.',
      );
    }
    await awaitKeyFile(file, whenAbsent, onWait);
    const found = await readKeys(file);
    if ('fault' in found) read.fault(`DFS_CLUSTER_KEY_FILE: ${found.fault}`);
    read.finish();
    return new ClusterKeyring('keys' in found ? found.keys : [], file);
  }

  /** What is sent and signed with; undefined in a cluster without a key. */
  current(): string | undefined {
    return this.#keys.all[0];
  }

  /** All that are accepted, the current one first; two at most, none in a cluster without a key. */
  all(): readonly string[] {
    return this.#keys.all;
  }

  /** Whether `given` is one of the keys, in time that tells nothing of them. False in a cluster without a key. */
  isOne(given: string): boolean {
    const digest = digestOf(given);
    let isOne = false;
    for (const expected of this.#keys.digests) {
      if (timingSafeEqual(digest, expected)) isOne = true;
    }
    return isOne;
  }

  /** Keys for signed blob URLs (`deriveBlobUrlKey`) in the order of `all`: sign with the first, verify with each. */
  blobUrlKeys(): readonly Buffer[] {
    return this.#keys.blobUrlKeys;
  }

  /**
   * From now on the key file, if there is one, is looked at each second, and what it holds counts within two. A file that is gone or broken changes nothing and
   * is told in one line.
   */
  watch(logger: Logger, everyMs?: number): void {
    this.#follower?.start(logger, everyMs);
  }

  /** Calls `listener` after each change of the keys, until the function that it gives is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Looks no more; the keys stay. */
  close(): void {
    this.#follower?.close();
  }

  #change(found: FoundKeys, logger: Logger): void {
    if (linesOf(found) === linesOf({ keys: this.#keys.all })) return;
    this.#keys = keysOf(found.keys);
    logger.info('the cluster keys have changed', { accepted: found.keys.length });
    for (const listener of this.#listeners) listener();
  }
}

interface FoundKeys {
  readonly keys: readonly string[];
}

const linesOf = ({ keys }: FoundKeys) => keys.join('\n');

/** The keys in a file, one or two, or what is wrong with it. A fault never quotes what the file holds. */
async function readKeys(file: string): Promise<FoundKeys | FileFault> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    return { fault: `the file ${file} cannot be read (${(error as NodeJS.ErrnoException).code}).` };
  }
  const lines = text.split('\n').map((line) => line.trim());
  const keys = [...new Set(lines.filter((line) => line !== ''))];
  if (keys.length === 0) return { fault: `the file ${file} is empty.` };
  if (keys.length > 2) {
    return {
      fault: `the file ${file} has ${keys.length} lines: the current key, and one more that is accepted, are all it may hold.`,
    };
  }
  // They travel in headers.
  const isUsable = keys.every((key) => /^[\x20-\x7e]+$/.test(key) && key.length <= keyMaxBytes);
  if (isUsable) return { keys };
  return {
    fault: `the file ${file} holds a key with characters that are not printable ASCII, or one of more than ${keyMaxBytes} bytes.`,
  };
}

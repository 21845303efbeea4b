import { randomBytes } from 'node:crypto';
import { link, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { ConfigurationError, EnvironmentReader } from './environment.ts';
import { makeDirectories, whyNotMade } from './make-directories.ts';

const pollEveryMs = 500;

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The cluster key from `DFS_CLUSTER_KEY` (or the alias `SHARD_KEY`), else from the file that `DFS_CLUSTER_KEY_FILE` names; undefined when neither is set.
 * A key file that is not there yet is made with a random key (`make`), or waited for until another program made it (`wait`; `onWait` is called once).
 * Throws `ConfigurationError` when the file cannot be read or made.
 */
export async function readClusterKey(
  environment: Environment,
  whenAbsent: 'make' | 'wait',
  onWait: (file: string) => void = () => {},
): Promise<string | undefined> {
  const read = new EnvironmentReader(environment);
  const file = read.optional('DFS_CLUSTER_KEY_FILE');
  if (file !== undefined && read.optional('DFS_CLUSTER_KEY', 'SHARD_KEY') === undefined) {
    if (whenAbsent === 'make') await makeKeyFile(file);
    else await waitForFile(file, onWait);
  }
  const key = read.secret('DFS_CLUSTER_KEY', 'SHARD_KEY');
  read.finish();
  return key;
}

/** Makes the file with a new random key (256 bits, hex, mode 0600) unless it is there; two makers agree on one key. */
export async function makeKeyFile(file: string): Promise<void> {
  const staged = `${file}.${randomBytes(6).toString('hex')}.new`;
  try {
    await makeDirectories(dirname(file));
    const handle = await open(staged, 'w', 0o600);
    try {
      await handle.writeFile(`${randomBytes(32).toString('hex')}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    // A link, unlike a rename, leaves a key that is there already alone.
    await link(staged, file).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  } catch (cause) {
    throw new ConfigurationError(
      `The key file ${file} cannot be made: ${whyNotMade(cause)}. Its directory must be one that can be written.`,
      { cause },
    );
  } finally {
    // Where it could not be made, it cannot be removed either.
    await rm(staged, { force: true }).catch(() => undefined);
  }
}

async function waitForFile(file: string, onWait: (file: string) => void): Promise<void> {
  for (let isFirst = true; ; isFirst = false) {
    try {
      if ((await readFile(file, 'utf8')) !== '') return;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOENT') {
        throw new ConfigurationError(`The key file ${file} cannot be read (${code}).`);
      }
    }
    if (isFirst) onWait(file);
    // A watch would miss what another host does on a shared volume; looking is enough here.
    await setTimeout(pollEveryMs);
  }
}

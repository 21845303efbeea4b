import { randomBytes } from 'node:crypto';
import { link, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { ConfigurationError } from './environment.ts';
import { makeDirectories, whyNotMade } from './make-directories.ts';

const pollEveryMs = 500;

/**
 * Resolves once the key file is there: it is made with a random key (`make`), or waited for until another program made it (`wait`; `onWait` is called once).
 * Throws `ConfigurationError` when it cannot be read or made.
 */
export async function awaitKeyFile(
  file: string,
  whenAbsent: 'make' | 'wait',
  onWait: (file: string) => void = () => {},
): Promise<void> {
  if (whenAbsent === 'make') await makeKeyFile(file);
  else await waitForFile(file, onWait);
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

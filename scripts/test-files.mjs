import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';

/** Writes a file of random bytes. */
export async function writeRandomFile(path, sizeBytes) {
  const file = await open(path, 'w');
  try {
    for (let left = sizeBytes; left > 0; left -= 2 ** 20) {
      await file.write(randomBytes(Math.min(left, 2 ** 20)));
    }
  } finally {
    await file.close();
  }
}

/** The MD5 of a file, in hex. */
export async function md5Of(path) {
  const hash = createHash('md5');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex');
}

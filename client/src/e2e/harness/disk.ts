import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** One copy of a blob as it lies on a node's disk. */
export interface CopyOnDisk {
  readonly blob: string;
  readonly path: string;
}

/** The files below this folder; none when it is not there. */
async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    },
  );
  return entries.filter((entry) => entry.isFile()).map((e) => join(e.parentPath, e.name));
}

/** Every copy that a node has on its disk. */
export const copiesOnDisk = async (dataDir: string): Promise<CopyOnDisk[]> =>
  (await filesBelow(join(dataDir, 'blobs'))).map((path) => ({
    blob: path.slice(path.lastIndexOf('/') + 1),
    path,
  }));

/** What waits on a node's disk to become a blob. A node's own probe of its disk is not counted. */
export const stagedOnDisk = async (dataDir: string): Promise<string[]> =>
  (await filesBelow(join(dataDir, 'staging'))).filter((path) => !path.endsWith('/probe'));

/** The first bytes of a copy, which are the file's: `head -c`. */
export const headOf = async (path: string, sizeBytes: number) =>
  (await readFile(path)).subarray(0, sizeBytes);

export const sizeOnDisk = async (path: string) => (await stat(path)).size;

/** Flips all bits of one byte; a negative place counts from the end. */
export async function flipByte(path: string, place: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const at = place < 0 ? (await file.stat()).size + place : place;
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, at);
    byte.writeUInt8(byte.readUInt8(0) ^ 0xff, 0);
    await file.write(byte, 0, 1, at);
  } finally {
    await file.close();
  }
}

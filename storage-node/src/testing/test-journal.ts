import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { recordingLogger, temporaryDirectory, testClusterId } from '@dfs/shared/testing';
import { formatDataDirectory } from '../data-directory.ts';
import { DiskJournal } from '../journal/disk-journal.ts';
import { type MeasureDisk, Space } from '../space.ts';

export interface TestJournalOptions {
  /** A directory that is there already; absent: a temporary one. */
  readonly path?: string;
  readonly segmentMaxBytes?: number;
  readonly measureDisk?: MeasureDisk;
  readonly reserveBytes?: number;
}

/** A node's journal in a temporary directory, with the things that it is made of at hand. */
export async function openTestJournal(options: TestJournalOptions = {}) {
  const temporary = options.path === undefined ? await temporaryDirectory() : undefined;
  const path = options.path ?? temporary?.path ?? '';
  const directory = await formatDataDirectory(path, { isFormatted: options.path !== undefined });
  const { measureDisk, reserveBytes, segmentMaxBytes } = options;
  const measure = measureDisk ? { measure: measureDisk } : {};
  const space = await Space.open({ path, reserveBytes, ...measure });
  const { logger, lines } = recordingLogger();
  const journal = new DiskJournal({
    path: directory.journalPath,
    stagingPath: directory.stagingPath,
    space,
    clusterId: () => testClusterId,
    logger,
    ...(segmentMaxBytes === undefined ? {} : { segmentMaxBytes }),
  });
  return {
    journal,
    space,
    path,
    lines,
    folder: directory.journalPath,
    files: () => readdir(directory.journalPath),
    staged: () => readdir(directory.stagingPath),
    close: async () => {
      await journal.close();
      space.close();
      await directory.close();
      await temporary?.remove();
    },
  };
}

/** Flips a bit in the middle of a record's line, wherever it lies in a journal's folder. */
export async function damageRecord(folder: string, number: number): Promise<void> {
  for (const name of await readdir(folder)) {
    const file = join(folder, name);
    const bytes = await readFile(file);
    const at = bytes.indexOf(`{"number":${number},`);
    if (at < 0) continue;
    bytes[at + 40] = (bytes[at + 40] ?? 0) ^ 1;
    await writeFile(file, bytes);
    return;
  }
  throw new Error(`The journal holds no record ${number}.`);
}

import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ScrubPass } from '@dfs/shared';

const fileName = 'scrub.json';
const format = 1;

/** What a disk remembers of its scrubs, so that a pass goes on after a new start of the node. */
export interface ScrubRecord {
  /** `afterKey`: the inventory key of the last blob that was read; empty: none yet. */
  readonly running?: ScrubPass & { readonly afterKey: string };
  readonly last?: ScrubPass & { readonly completedAtMs: number };
  readonly repairedBlobs: number;
}

/** What the disk remembers; what cannot be understood counts as nothing: then everything is read once more. */
export async function readScrubRecord(directory: string): Promise<ScrubRecord> {
  try {
    const text = await readFile(join(directory, fileName), 'utf8');
    const record = JSON.parse(text) as ScrubRecord & { readonly format?: number };
    if (record.format === format) return record;
  } catch {
    // Absent, or cut short by a crash.
  }
  return { repairedBlobs: 0 };
}

/** Replaces what the disk remembers. Not synced: what gets lost is read again. */
export async function writeScrubRecord(directory: string, record: ScrubRecord): Promise<void> {
  const path = join(directory, fileName);
  await writeFile(`${path}.new`, `${JSON.stringify({ ...record, format })}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

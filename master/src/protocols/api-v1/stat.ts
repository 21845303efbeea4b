import type { FilePath, StatAnswer } from '@dfs/shared';
import { directoryStatOf, statAnswerOf } from '../http/answers.ts';
import type { Front } from '../http/front.ts';
import { nothingAt } from '../http/lookup.ts';

/** All that is known of a file or directory. Rejects with `not-found`. */
export async function statAt({ files, metadata }: Front, path: FilePath): Promise<StatAnswer> {
  const entry = await metadata.findEntry(path);
  if (!entry) throw nothingAt(path);
  if (entry.kind === 'directory') return directoryStatOf(path, entry);
  return statAnswerOf(await files.stat({ path }));
}

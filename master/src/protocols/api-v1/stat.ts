import type { FilePath, StatAnswer } from '@dfs/shared';
import { directoryStatOf, statAnswerOf } from '../http/answers.ts';
import type { Front } from '../http/front.ts';
import { nothingAt } from '../http/lookup.ts';

/** All that is known of a file or directory. Rejects with `not-found`. */
export async function statAt({ files, metadata }: Front, path: FilePath): Promise<StatAnswer> {
  const named = await metadata.findNamed(path);
  if (!named) throw nothingAt(path);
  if (named.entry.kind === 'directory') return directoryStatOf(named);
  return statAnswerOf(await files.stat({ path }));
}

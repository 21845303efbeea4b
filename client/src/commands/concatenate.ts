import { urlPathOf } from '@dfs/shared';
import { download } from '../download.ts';
import { Failures, namedInMessages, reasonOf } from '../messages.ts';
import { allSources } from '../remote-paths/sources.ts';
import { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';
import { silentTelling, stdoutSink } from './get.ts';

/** `dfs cat`: the bytes of files, one after the other, on standard output. */
export async function concatenate(session: Session, words: readonly string[]): Promise<void> {
  const client = new DfsClient(session.api);
  const failures = new Failures('cat', {});
  const failed = (text: string, error: unknown) =>
    failures.add(error, `${namedInMessages(text)}: ${reasonOf(error)}`);
  const sources = await allSources(session, client, words, (error, word) => failed(word, error));
  for (const { text, path } of sources) {
    try {
      await download(session.api, `/fs${urlPathOf(path)}`, stdoutSink, silentTelling());
    } catch (error) {
      failed(text, error);
    }
  }
  failures.end();
}

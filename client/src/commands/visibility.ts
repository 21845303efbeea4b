import { Failures, namedInMessages, reasonOf } from '../messages.ts';
import { print, printJsonAnswers } from '../output.ts';
import { allSources } from '../remote-paths/sources.ts';
import { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';

/** `dfs chmod`: says who may read files, or all below directories. */
export async function changeVisibility(
  session: Session,
  visibility: 'public' | 'private' | 'inherit',
  words: readonly string[],
  options: { json?: boolean },
): Promise<void> {
  const client = new DfsClient(session.api);
  const failures = new Failures('chmod', options);
  const failed = (text: string, error: unknown) =>
    failures.add(error, `cannot change who reads ${namedInMessages(text)}: ${reasonOf(error)}`);
  const sources = await allSources(session, client, words, (error, word) => failed(word, error));
  const answers: unknown[] = [];
  for (const { text, path } of sources) {
    try {
      const answer = await client.setVisibility(path, visibility);
      answers.push(answer);
      if (options.json) continue;
      const what = answer.public ? 'public' : 'private';
      const inherited = visibility === 'inherit' && path !== '/' ? ', as its directory is' : '';
      const below = answer.kind === 'directory' ? ', for all that is in it' : '';
      print(`${namedInMessages(text)}: ${what}${inherited}${below}`);
    } catch (error) {
      failed(text, error);
    }
  }
  if (options.json) printJsonAnswers(answers, { words, sources });
  failures.end();
}

import { StoreError } from '@dfs/shared';
import { Failures, namedInMessages, reasonOf } from '../messages.ts';
import { print, printJsonAnswers } from '../output.ts';
import { allSources } from '../remote-paths/sources.ts';
import { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';

const copiesMax = 16;

/** `dfs copies`: sets how many copies files shall have, or all below directories. */
export async function setCopies(
  session: Session,
  asked: string,
  words: readonly string[],
  options: { json?: boolean },
): Promise<void> {
  const copies = copiesOf(asked);
  const client = new DfsClient(session.api);
  const failures = new Failures('copies', options);
  const failed = (text: string, error: unknown) =>
    failures.add(error, `cannot set the copies of ${namedInMessages(text)}: ${reasonOf(error)}`);
  const sources = await allSources(session, client, words, (error, word) => failed(word, error));
  const answers: unknown[] = [];
  for (const { text, path } of sources) {
    try {
      const answer = await client.setCopies(path, copies);
      answers.push(answer);
      if (options.json) continue;
      const what = copies === null ? 'as its directory has it' : `${copies} copies`;
      const below = answer.kind === 'directory' ? ', for all that is in it' : '';
      print(`${namedInMessages(text)}: ${what}${below}`);
    } catch (error) {
      failed(text, error);
    }
  }
  if (options.json) printJsonAnswers(answers, { words, sources });
  failures.end();
}

function copiesOf(asked: string): number | null {
  if (asked === 'inherit') return null;
  const copies = Number(asked);
  if (/^\d+$/.test(asked) && copies >= 1 && copies <= copiesMax) return copies;
  throw new StoreError(
    'invalid-request',
    `copies: ${JSON.stringify(asked)} is no number of copies.`,
    {
      hint: `Give a whole number from 1 to ${copiesMax}, or "inherit".`,
    },
  );
}

import { type GrantAnswer, parseDurationMs, StoreError, type UnshareAnswer } from '@dfs/shared';
import { namedInMessages } from '../messages.ts';
import { JsonList, print, printJson, printTable, timeText } from '../output.ts';
import { DfsClient } from '../sdk/dfs-client.ts';
import { isLink } from '../sdk/sharing.ts';
import type { Session } from '../session.ts';

interface JsonOption {
  readonly json?: boolean;
}

export interface ShareCommandOptions extends JsonOption {
  readonly for: string;
  readonly download?: boolean;
  readonly follow?: boolean;
}

/** `dfs share`: prints a link that opens a file for a time. */
export async function share(
  session: Session,
  word: string,
  { for: time, download = false, follow = false, json }: ShareCommandOptions,
): Promise<void> {
  const { sharing } = new DfsClient(session.api);
  const answer = await sharing.share(session.path(word), {
    seconds: secondsOf(time),
    download,
    follow,
  });
  if (json) printJson(answer);
  else print(answer.url);
}

/** `dfs grant`: lets an address or a network read a file for a time. */
export async function grant(
  session: Session,
  word: string,
  network: string,
  { for: time, json }: ShareCommandOptions,
): Promise<void> {
  const { sharing } = new DfsClient(session.api);
  const answer = await sharing.grant(session.path(word), { network, seconds: secondsOf(time) });
  if (json) return printJson(answer);
  print(
    `${namedInMessages(word)}: ${answer.network} may read it until ${timeText(answer.expiresAt)}`,
  );
}

/** `dfs grants`: which addresses may read what, below a directory. */
export async function listGrants(
  session: Session,
  word: string | undefined,
  { json }: JsonOption,
): Promise<void> {
  const { sharing } = new DfsClient(session.api);
  const grants = sharing.grants(session.path(word ?? '/'));
  if (json) {
    const list = new JsonList();
    for await (const each of grants) list.add(each);
    return list.end();
  }
  const rows: string[][] = [];
  for await (const each of grants) rows.push(rowOf(each));
  if (rows.length > 0) printTable(['NETWORK', 'UNTIL', 'BY', 'PATH'], rows);
}

const rowOf = ({ network, expiresAt, createdBy, path }: GrantAnswer) => [
  network,
  timeText(expiresAt),
  createdBy,
  path,
];

/** `dfs unshare`: takes back one link, what opens a path, or the grants of a network. */
export async function unshare(
  session: Session,
  word: string,
  network: string | undefined,
  { json }: JsonOption,
): Promise<void> {
  const { sharing } = new DfsClient(session.api);
  const isOneLink = isLink(word) && !session.literals.has(word);
  if (isOneLink && network !== undefined) {
    throw new StoreError('invalid-request', 'A link is no file that a network was let to.', {
      hint: 'Name the path of the file instead of the link.',
    });
  }
  if (isOneLink) return told(await sharing.revoke(word), 'The link opens nothing any more', json);
  const path = session.path(word);
  if (network === undefined) {
    const taken = await sharing.unshare(path);
    const text = `${namedInMessages(word)}: all links are revoked, and ${countOf(taken.grants, 'grant')} taken back`;
    return told(taken, text, json);
  }
  const taken = await sharing.removeGrants(path, network);
  if (taken.grants === 0) {
    throw new StoreError('not-found', `${namedInMessages(word)} was not granted to ${network}.`, {
      hint: 'Look at what is granted with "dfs grants".',
    });
  }
  told(taken, `${namedInMessages(word)}: ${countOf(taken.grants, 'grant')} taken back`, json);
}

function told(taken: UnshareAnswer, text: string, json: boolean | undefined): void {
  if (json) printJson(taken);
  else print(taken.cut === 0 ? text : `${text}; ${countOf(taken.cut, 'download')} cut off`);
}

const countOf = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`;

function secondsOf(time: string): number {
  const ms = parseDurationMs(time);
  if (ms !== undefined && ms >= 1_000) return Math.ceil(ms / 1000);
  throw new StoreError(
    'invalid-request',
    `${JSON.stringify(time)} is no time of a second or more.`,
    {
      hint: 'Write one such as 90s, 15m, 1h or 7d.',
    },
  );
}

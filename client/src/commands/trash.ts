import { StoreError, type TrashItem } from '@dfs/shared';
import { namedInMessages } from '../messages.ts';
import { bytesText, JsonList, print, printJson, printTable, shown, timeText } from '../output.ts';
import { isYes } from '../questions.ts';
import { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';

interface JsonOption {
  readonly json?: boolean;
}

/** `dfs trash ls`: what can be brought back, newest first. */
export async function listTrash(
  session: Session,
  word: string | undefined,
  options: JsonOption & { long?: boolean },
): Promise<void> {
  const items = new DfsClient(session.api).trash.list(
    word === undefined ? {} : { path: session.path(word) },
  );
  if (options.json) {
    const list = new JsonList();
    for await (const item of items) list.add(item);
    return list.end();
  }
  if (!options.long) {
    for await (const item of items) print(nameOf(item));
    return;
  }
  const rows: string[][] = [];
  for await (const item of items) rows.push(rowOf(item));
  if (rows.length > 0) printTable(['REMOVED', 'UNTIL', 'WHY', 'SIZE', 'ID', 'PATH'], rows);
}

const nameOf = ({ path, kind }: TrashItem) => shown(path) + (kind === 'directory' ? '/' : '');

const rowOf = (item: TrashItem) => [
  timeText(item.removed),
  timeText(item.expires),
  item.reason,
  bytesText(item.size),
  item.id,
  nameOf(item),
];

export interface RestoreOptions extends JsonOption {
  readonly to?: string;
  readonly onConflict: 'fail' | 'rename' | 'replace';
}

/** `dfs trash restore`: brings back one item by its id, or the newest one of a path. */
export async function restoreTrash(
  session: Session,
  word: string,
  { to, onConflict, json }: RestoreOptions,
): Promise<void> {
  const { trash } = new DfsClient(session.api);
  const id = await itemOf(session, word);
  const path = await trash.restore(id, {
    onConflict,
    ...(to === undefined ? {} : { to: session.path(to) }),
  });
  if (json) printJson({ path });
  else print(shown(path));
}

/** An id is a UUID; a path of that form begins with ./ or a slash. */
const idForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

async function itemOf(session: Session, word: string): Promise<TrashItem['id']> {
  if (idForm.test(word)) return word.toLowerCase() as TrashItem['id'];
  const path = session.path(word);
  for await (const item of new DfsClient(session.api).trash.list({ path })) {
    if (item.path === path) return item.id;
  }
  throw new StoreError('not-found', `${namedInMessages(word)} is not in the trash.`, {
    hint: 'Look at what is there with "dfs trash ls -l".',
  });
}

/** `dfs trash empty`: deletes for good, after asking. */
export async function emptyTrash(
  session: Session,
  word: string | undefined,
  { yes, json }: JsonOption & { yes?: boolean },
): Promise<void> {
  const { trash } = new DfsClient(session.api);
  if (!yes) await agree(session, word);
  const what = word === undefined ? {} : emptyRequest(session, word);
  const removed = await trash.empty(what);
  if (json) printJson({ removed });
  else print(`${removed} ${removed === 1 ? 'item' : 'items'} deleted for good.`);
}

const emptyRequest = (session: Session, word: string) =>
  idForm.test(word)
    ? { ids: [word.toLowerCase() as TrashItem['id']] }
    : { path: session.path(word) };

async function agree(session: Session, word: string | undefined): Promise<void> {
  const what =
    word === undefined ? 'everything in the trash' : `${namedInMessages(word)} from the trash`;
  if (isYes(await session.ask(`Delete ${what} for good? `))) return;
  throw new StoreError('cancelled', 'Nothing was deleted.', {
    hint: 'Add --yes where nobody can be asked.',
  });
}

import { type EntryId, newEntryId, type RowImage } from '@dfs/shared';
import type { BulkSql, Database } from '../database.ts';
import { entryGone, entryImage, trashImage } from '../journal.ts';
import type { Entry, TrashRecord } from '../metadata-repository.ts';
import { rootId, trashId } from '../root-entries.ts';
import { type EntryRow, entryColumns, entryOf } from '../rows.ts';
import { applyImages } from './apply-images.ts';
import type { Mended } from './restore-types.ts';

/** Where a restore puts what it is not sure of. */
export const restoredName = '.restored';

const pageRows = 300;
const namesShownMax = 1_000;
const trashKeptMs = 86_400_000;

type Journalled = (sql: BulkSql, images: readonly RowImage[]) => Promise<void>;

/**
 * Rows that contradict each other come only out of a journal with a hole: names without their content go, what has no parent is put below `/.restored/`,
 * and contents without a name are let go. Every change is journaled by `journal`.
 */
export async function mend(
  database: Database,
  nowMs: number,
  journal: Journalled,
): Promise<Mended> {
  const names: string[] = [];
  let count = 0;
  const change = (images: readonly RowImage[]) =>
    database.transaction(async (sql) => {
      await applyImages(sql, images);
      await journal(sql, images);
    });
  for await (const page of pagesOf(database, nameWithoutContent)) {
    await change(page.map(entryGone));
    count += page.length;
    names.push(...page.slice(0, namesShownMax - names.length).map((entry) => entry.name));
  }
  const orphans = await adoptOrphans(database, nowMs, change);
  const contentsWithoutName = await mendContents(database, change);
  await mendTrash(database, nowMs, change);
  return { namesWithoutContent: { count, names }, orphans, contentsWithoutName };
}

const nameWithoutContent = `e.kind = 'file' and (e.file_id is null
  or not exists (select 1 from files f where f.id = e.file_id)
  or not exists (select 1 from file_blobs fb where fb.file_id = e.file_id)
  or exists (select 1 from file_blobs fb left join blobs b on b.id = fb.blob_id where fb.file_id = e.file_id and b.id is null))`;

const withoutParent = `e.id not in ('${rootId}', '${trashId}')
  and not exists (select 1 from entries p where p.id = e.parent_id and p.kind = 'directory')`;

type Change = (images: readonly RowImage[]) => Promise<void>;

/** Until a look finds none: each page is gone, or has a parent, when the next one is read. */
async function* pagesOf(database: Database, where: string): AsyncGenerator<Entry[]> {
  for (;;) {
    const rows = await database.rows<EntryRow>(
      `select ${entryColumns.map((column) => `e.${column}`).join(', ')} from entries e where ${where} order by e.id limit ?`,
      [pageRows],
    );
    if (rows.length === 0) return;
    yield rows.map(entryOf);
  }
}

async function adoptOrphans(
  database: Database,
  nowMs: number,
  change: Change,
): Promise<Mended['orphans']> {
  const paths: string[] = [];
  let count = 0;
  let home: { readonly id: EntryId; readonly name: string } | undefined;
  const adopt = async (page: readonly Entry[]) => {
    home ??= await restoredDirectory(database, nowMs, change);
    const { id: parentId, name: parentName } = home;
    const adopted = page.map((entry) => ({
      ...entry,
      parentId,
      name: `${entry.name.slice(0, 50).toWellFormed()}-${entry.id}`,
    }));
    await change(adopted.map(entryImage));
    count += page.length;
    const shown = adopted.slice(0, namesShownMax - paths.length);
    paths.push(...shown.map(({ name }) => `/${parentName}/${name}`));
  };
  for await (const page of pagesOf(database, withoutParent)) await adopt(page);
  // A ring of directories has parents, but no way leads to it.
  for await (const [entry] of pagesOf(database, unreachable)) if (entry) await adopt([entry]);
  return { count, paths };
}

const unreachable = `e.kind = 'directory' and e.id not in (
  with recursive reachable(id) as (
    select id from entries where id in ('${rootId}', '${trashId}')
    union select c.id from entries c join reachable on c.parent_id = reachable.id where c.kind = 'directory')
  select id from reachable)`;

/** `/.restored`, made when it is not there; beside a file of that name under another one. */
async function restoredDirectory(
  database: Database,
  nowMs: number,
  change: Change,
): Promise<{ readonly id: EntryId; readonly name: string }> {
  const [there] = await database.rows<{ id: EntryId; kind: string }>(
    'select id, kind from entries where parent_id = ? and name = ?',
    [rootId, restoredName],
  );
  if (there?.kind === 'directory') return { id: there.id, name: restoredName };
  const id = newEntryId();
  const entry: Entry = {
    id,
    parentId: rootId,
    name: there ? `${restoredName}-${id}` : restoredName,
    kind: 'directory',
    createdAtMs: nowMs,
    modifiedAtMs: nowMs,
    visibility: 'private',
  };
  await change([entryImage(entry)]);
  return entry;
}

/** Lets go contents that no name holds, and lists of blobs without a content; says how many rows those were. */
async function mendContents(database: Database, change: Change): Promise<number> {
  let count = 0;
  for (;;) {
    const rows = await database.rows<{ file_id: string; sequence: number }>(
      `select fb.file_id, fb.sequence from file_blobs fb
       where not exists (select 1 from entries e where e.file_id = fb.file_id)
       or not exists (select 1 from files f where f.id = fb.file_id) limit ?`,
      [pageRows],
    );
    if (rows.length === 0) break;
    count += rows.length;
    await change(
      rows.map(({ file_id, sequence }) => ({
        table: 'file_blobs',
        op: 'delete',
        key: { file_id, sequence },
      })),
    );
  }
  for (;;) {
    const rows = await database.rows<{ id: string }>(
      'select f.id from files f where not exists (select 1 from entries e where e.file_id = f.id) limit ?',
      [pageRows],
    );
    if (rows.length === 0) return count;
    count += rows.length;
    await change(rows.map(({ id }) => ({ table: 'files', op: 'delete', key: { id } })));
  }
}

/** Each entry in the trash has a reason, each reason an entry. */
async function mendTrash(database: Database, nowMs: number, change: Change): Promise<void> {
  for (;;) {
    const rows = await database.rows<{ entry_id: string }>(
      `select t.entry_id from trash t where not exists
       (select 1 from entries e where e.id = t.entry_id and e.parent_id = '${trashId}') limit ?`,
      [pageRows],
    );
    if (rows.length === 0) break;
    await change(rows.map(({ entry_id }) => ({ table: 'trash', op: 'delete', key: { entry_id } })));
  }
  const inTrash = `e.parent_id = '${trashId}' and not exists (select 1 from trash t where t.entry_id = e.id)`;
  for await (const page of pagesOf(database, inTrash)) {
    await change(
      page.map((entry) =>
        trashImage({
          entryId: entry.id,
          path: `/${entry.name}`,
          removedAtMs: nowMs,
          expiresAtMs: nowMs + trashKeptMs,
          reason: 'deleted',
          isHidden: false,
        } satisfies TrashRecord),
      ),
    );
  }
}

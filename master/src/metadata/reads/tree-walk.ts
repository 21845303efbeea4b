import type { EntryId, FilePath } from '@dfs/shared';
import type { Sql } from '../database.ts';
import type { Entry } from '../metadata-repository.ts';
import { nowhereId } from '../root-entries.ts';
import type { WalkedEntry } from '../working-tree.ts';
import { type ListedRow, listedColumns, listedEntryOf, listedTables } from './listed-rows.ts';

/** Entries given at once, and read at once of a large directory. */
const pageLength = 1_000;
/** Small directories are read so many at a time, each up to so many entries: a query for each would take most of the time. */
const directoriesAtOnce = 20;
const entriesAtOnce = 50;
/** Rows in memory: beyond this, those of the directories furthest up are let go, and read again on the way back. */
const rowsMax = 8 * pageLength;

const pageOfDirectory = `select ${listedColumns} from ${listedTables}
  where e.parent_id = ? and e.name > ? order by e.name limit ${pageLength}`;

/** The order makes runs of one directory, and names within them. */
const pagesOfDirectories = `select ${listedColumns} from (${Array(directoriesAtOnce)
  .fill(
    `select * from (select id from entries where parent_id = ? order by name limit ${entriesAtOnce}) d`,
  )
  .join(' union all ')}) k join entries e on e.id = k.id
  left join files f on f.id = e.file_id order by e.parent_id, e.name`;

/** A run of rows of one directory. */
interface Rows {
  readonly rows: readonly ListedRow[];
  /** Nothing comes after them. */
  readonly isWhole: boolean;
}

/** A directory on the way from where the walk began to where it is. */
interface Level {
  readonly directoryId: EntryId;
  /** With a slash at the end. */
  readonly prefix: string;
  readonly isPublic: boolean;
  /** The last name given. */
  after: string;
  rows: readonly ListedRow[];
  next: number;
  isWhole: boolean;
}

/** A walk of what is below a directory, as `WorkingTree.walkTree` promises. */
export class TreeWalk {
  readonly #queries: Sql;
  /** From where it began to where it is. */
  readonly #levels: Level[] = [];
  /** Beginnings of directories that come soon. */
  readonly #read = new Map<EntryId, Rows>();
  #rowCount = 0;

  constructor(queries: Sql) {
    this.#queries = queries;
  }

  /**
   * Begins below a directory; called again for each directory on the way to the path after which to go on. `after`: the last name given there.
   */
  enter(directory: Entry, place: { path: FilePath; isPublic: boolean; after?: string }): void {
    const { path, isPublic, after = '' } = place;
    const prefix = path === '/' ? '/' : `${path}/`;
    this.#push({ directoryId: directory.id, prefix, isPublic, after });
  }

  /** Back to before the first `enter`. */
  leave(): void {
    this.#levels.length = 0;
  }

  async *pages(): AsyncGenerator<readonly WalkedEntry[]> {
    let page: WalkedEntry[] = [];
    for (let level = this.#levels.at(-1); level; level = this.#levels.at(-1)) {
      const row = level.rows[level.next];
      if (!row) {
        if (level.isWhole) this.#levels.pop();
        else await this.#readMore(level);
        continue;
      }
      level.next += 1;
      level.after = row.name;
      this.#rowCount -= 1;
      const entry = listedEntryOf(row, level.isPublic) as WalkedEntry & { path: FilePath };
      entry.path = `${level.prefix}${row.name}` as FilePath;
      page.push(entry);
      if (row.kind === 'directory') await this.#descend(row, entry);
      if (page.length < pageLength) continue;
      yield page;
      page = [];
    }
    if (page.length > 0) yield page;
  }

  async #descend({ id }: ListedRow, { path, isPublic }: WalkedEntry): Promise<void> {
    const read = this.#read.get(id);
    this.#read.delete(id);
    this.#push({ directoryId: id, prefix: `${path}/`, isPublic, after: '' }, read);
    if (!read) await this.#readAhead(this.#levels.at(-1) as Level);
  }

  #push(
    level: Pick<Level, 'directoryId' | 'prefix' | 'isPublic' | 'after'>,
    { rows, isWhole }: Rows = { rows: [], isWhole: false },
  ): void {
    this.#levels.push({ ...level, rows, next: 0, isWhole });
  }

  async #readMore(level: Level): Promise<void> {
    const rows = await this.#queries.rows<ListedRow>(pageOfDirectory, [
      level.directoryId,
      level.after,
    ]);
    level.rows = rows;
    level.next = 0;
    level.isWhole = rows.length < pageLength;
    this.#rowCount += rows.length;
    this.#letGo();
  }

  /** Reads the beginning of a directory, and of those that come after it. */
  async #readAhead(level: Level): Promise<void> {
    const ids = [level.directoryId, ...this.#directoriesToCome(directoriesAtOnce - 1)];
    if (ids.length === 1) return this.#readMore(level);
    const values = [...ids, ...Array(directoriesAtOnce - ids.length).fill(nowhereId)];
    const rows = await this.#queries.rows<ListedRow>(pagesOfDirectories, values);
    for (const id of ids) this.#read.set(id, { rows: [], isWhole: true });
    for (let at = 0; at < rows.length; ) {
      const parentId = (rows[at] as ListedRow).parent_id;
      let end = at;
      while (rows[end]?.parent_id === parentId) end += 1;
      const isWhole = end - at < entriesAtOnce;
      this.#read.set(parentId, { rows: rows.slice(at, end), isWhole });
      at = end;
    }
    this.#rowCount += rows.length;
    const own = this.#read.get(level.directoryId) as Rows;
    this.#read.delete(level.directoryId);
    level.rows = own.rows;
    level.isWhole = own.isWhole;
    this.#letGo();
  }

  /** The next ones in the order of the walk, as far as they are known, that were not read yet. */
  #directoriesToCome(howMany: number): EntryId[] {
    const ids: EntryId[] = [];
    for (let at = this.#levels.length - 2; at >= 0 && ids.length < howMany; at -= 1) {
      const { rows, next } = this.#levels[at] as Level;
      for (let n = next; n < rows.length && ids.length < howMany; n += 1) {
        const { kind, id } = rows[n] as ListedRow;
        if (kind === 'directory' && !this.#read.has(id)) ids.push(id);
      }
    }
    return ids;
  }

  #letGo(): void {
    for (const level of this.#levels) {
      if (this.#rowCount <= rowsMax || level === this.#levels.at(-1)) return;
      for (const { id } of level.rows.slice(level.next)) {
        this.#rowCount -= this.#read.get(id)?.rows.length ?? 0;
        this.#read.delete(id);
      }
      this.#rowCount -= level.rows.length - level.next;
      level.rows = [];
      level.next = 0;
      level.isWhole = false;
    }
  }
}

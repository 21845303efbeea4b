import { type FileId, type FilePath, namesOf, parentOf, StoreError } from '@dfs/shared';
import type { Database, Sql } from '../database.ts';
import { copiesAt } from '../decisions/copies-wanted.ts';
import { outcomeOfKey, storedKeyOf } from '../decisions/idempotency.ts';
import type { MetadataCaches } from '../metadata-caches.ts';
import type {
  BindOutcome,
  DirectoryPage,
  Entry,
  FileRecord,
  NamedEntry,
  NamedFile,
} from '../metadata-repository.ts';
import { entryKeyOf, nowhereId, partsOfEntryKey } from '../root-entries.ts';
import {
  type EntryRow,
  entryColumns,
  entryOf,
  type FileAndBlobRow,
  fileAndBlobColumns,
  fileAndBlobTables,
  filesOf,
} from '../rows.ts';
import { isPublicAt } from '../visibility.ts';
import type { WalkedEntry } from '../working-tree.ts';
import { chainsOfDirectories, pathOfChain } from './directory-chains.ts';
import { type ListedRow, listedColumns, listedEntryOf, listedTables } from './listed-rows.ts';
import { TreeWalk } from './tree-walk.ts';

const rootKey = entryKeyOf(nowhereId, '');
const pageMax = 10_000;
/** A content has one name, or few: of these the newest that is in the tree is given. */
const namesLookedAt = 100;

const columns = entryColumns.map((column) => `e.${column}`).join(', ');

export interface TreeReaderParts {
  readonly database: Database;
  readonly caches: MetadataCaches;
  readonly configuredCopies: number;
}

/** Where rows are looked up: one by one, from the caches where they can be, or all in one snapshot. */
interface View {
  readonly queries: Sql;
  entryOf(key: string): Promise<Entry | undefined>;
  fileOf(id: FileId): Promise<FileRecord | undefined>;
}

/** A name was found whose content is gone by now. */
const torn = new StoreError('internal', 'A name has no content.');

/** Reads of the tree: from the caches where they can be, else from the database. */
export class TreeReader {
  readonly #parts: TreeReaderParts;
  readonly #latest: View;

  constructor(parts: TreeReaderParts) {
    this.#parts = parts;
    const { database, caches } = parts;
    this.#latest = {
      queries: database,
      async entryOf(key) {
        // Asked first by itself: hot names cost no promise and no list.
        const kept = caches.entries.get(key);
        if (kept) return kept;
        const found = await caches.entries.load([key], async () => {
          const entry = await readEntry(database, key);
          return entry ? [[key, entry] as const] : [];
        });
        return found.get(key);
      },
      async fileOf(id) {
        const kept = caches.files.get(id);
        if (kept) return kept;
        const found = await caches.files.load([id], async () => {
          const file = await readFile(database, id);
          return file ? [[id, file] as const] : [];
        });
        return found.get(id);
      },
    };
  }

  findEntry(path: FilePath): Promise<Entry | undefined> {
    return this.#read(async (view) => (await findChain(view, path))?.at(-1));
  }

  findNamed(path: FilePath): Promise<NamedEntry | undefined> {
    return this.#read(async (view) => {
      const chain = await findChain(view, path);
      return chain && this.#namedOf(path, chain);
    });
  }

  findFile(path: FilePath): Promise<NamedFile | undefined> {
    return this.#read(async (view) => {
      const chain = await findChain(view, path);
      const entry = chain?.at(-1);
      if (!chain || !entry) return undefined;
      if (entry.fileId === undefined) {
        throw new StoreError('is-a-directory', `${path} is a directory.`);
      }
      const file = await view.fileOf(entry.fileId);
      if (!file) throw torn;
      return { ...this.#namedOf(path, chain), file };
    });
  }

  findFileById(id: FileId): Promise<NamedFile | undefined> {
    return this.#parts.database.read(async (sql) => {
      const rows = await sql.rows<EntryRow>(
        `select ${columns} from entries e where e.file_id = ? order by e.modified_at desc, e.id desc limit ?`,
        [id, namesLookedAt],
      );
      const chains = await chainsOfDirectories(
        sql,
        rows.map((row) => row.parent_id),
      );
      const row = rows.find(({ parent_id }) => chains.has(parent_id));
      const file = row && (this.#parts.caches.files.get(id) ?? (await readFile(sql, id)));
      if (!row || !file) return undefined;
      const entry = entryOf(row);
      const chain = [...(chains.get(entry.parentId) ?? []), entry];
      return { ...this.#namedOf(pathOfChain(chain), chain), file };
    });
  }

  listDirectory(
    path: FilePath,
    { after = '', limit }: { after?: string; limit: number },
  ): Promise<DirectoryPage> {
    return this.#read(async (view) => {
      const chain = await findDirectory(view, path);
      const count = Math.max(1, Math.min(pageMax, limit));
      const rows = await view.queries.rows<ListedRow>(
        `select ${listedColumns} from ${listedTables}
         where e.parent_id = ? and e.name > ? order by e.name limit ?`,
        [(chain.at(-1) as Entry).id, after, count + 1],
      );
      const isMore = rows.length > count;
      if (isMore) rows.pop();
      const isPublic = isPublicAt(chain);
      const entries = rows.map((row) => listedEntryOf(row, isPublic));
      return { entries, ...(isMore ? { next: (entries.at(-1) as Entry).name } : {}) };
    });
  }

  async *walk(
    path: FilePath,
    { after }: { after?: FilePath } = {},
  ): AsyncGenerator<readonly WalkedEntry[]> {
    const walk = new TreeWalk(this.#parts.database);
    await this.#read(async (view) => {
      walk.leave();
      const chain = await findDirectory(view, path);
      let at: string = path;
      for (const name of [...namesBelow(path, after), undefined]) {
        walk.enter(chain.at(-1) as Entry, {
          path: at as FilePath,
          isPublic: isPublicAt(chain),
          ...(name === undefined ? {} : { after: name }),
        });
        if (name === undefined) return;
        const entry = await view.entryOf(entryKeyOf((chain.at(-1) as Entry).id, name));
        if (entry?.kind !== 'directory') return;
        chain.push(entry);
        at = at === '/' ? `/${name}` : `${at}/${name}`;
      }
    });
    yield* walk.pages();
  }

  /** From the deepest directory on the way that is there; the name itself counts when it is in memory. */
  copiesFor(path: FilePath): Promise<number> {
    return this.#read(async (view) => {
      const chain: Entry[] = [];
      for (const name of ['', ...namesOf(parentOf(path))]) {
        const entry = await view.entryOf(entryKeyOf(chain.at(-1)?.id ?? nowhereId, name));
        if (!entry) return copiesAt(chain, this.#parts.configuredCopies);
        chain.push(entry);
      }
      const name = namesOf(path).at(-1);
      const key = name === undefined ? rootKey : entryKeyOf((chain.at(-1) as Entry).id, name);
      const own = this.#parts.caches.entries.get(key);
      return copiesAt(own ? [...chain, own] : chain, this.#parts.configuredCopies);
    });
  }

  /** Undefined when the key is not known or is older than a day at `nowMs`. Rejects with `idempotency-conflict`. */
  async findRepeated(key: string, path: FilePath, nowMs: number): Promise<BindOutcome | undefined> {
    const [row] = await this.#parts.database.rows<{
      path: string;
      outcome: string;
      created_at: number;
    }>('select path, outcome, created_at from idempotency_keys where key = ?', [storedKeyOf(key)]);
    return row && outcomeOfKey({ ...row, createdAtMs: row.created_at }, path, nowMs);
  }

  #namedOf(path: FilePath, chain: readonly Entry[]): NamedEntry {
    return {
      path,
      entry: chain.at(-1) as Entry,
      isPublic: isPublicAt(chain),
      copiesWanted: copiesAt(chain, this.#parts.configuredCopies),
    };
  }

  /**
   * Looks rows up one by one, and where directories moved or went meanwhile, or a content did, again in one snapshot: what was there all the time is found, and nothing that never was.
   */
  async #read<Result>(look: (view: View) => Promise<Result>): Promise<Result> {
    const { caches, database } = this.#parts;
    const before = caches.directoryChanges;
    const isCalm = () => before % 2 === 0 && caches.directoryChanges === before;
    if (isCalm()) {
      try {
        const result = await look(this.#latest);
        if (isCalm()) return result;
      } catch (error) {
        if (isCalm() && error !== torn) throw error;
      }
    }
    return database.read((sql) => look(viewOf(sql)));
  }
}

/** All of one state of the database; the caches may be of another, so they are neither asked nor told. */
const viewOf = (sql: Sql): View => ({
  queries: sql,
  entryOf: (key) => readEntry(sql, key),
  fileOf: (id) => readFile(sql, id),
});

async function findChain(view: View, path: FilePath): Promise<Entry[] | undefined> {
  const root = await view.entryOf(rootKey);
  if (!root) return undefined;
  const chain = [root];
  for (const name of namesOf(path)) {
    const entry = await view.entryOf(entryKeyOf((chain.at(-1) as Entry).id, name));
    if (!entry) return undefined;
    chain.push(entry);
  }
  return chain;
}

async function findDirectory(view: View, path: FilePath): Promise<Entry[]> {
  const chain = await findChain(view, path);
  if (!chain) throw new StoreError('not-found', `There is no directory ${path}.`);
  if (chain.at(-1)?.kind !== 'directory') {
    throw new StoreError('not-a-directory', `${path} is a file.`);
  }
  return chain;
}

/** The names that lead from a directory to a path below it. */
function namesBelow(directory: FilePath, path: FilePath | undefined): string[] {
  if (path === undefined) return [];
  const above = namesOf(directory);
  const names = namesOf(path);
  if (names.length > above.length && above.every((name, at) => name === names[at])) {
    return names.slice(above.length);
  }
  throw new StoreError('invalid-request', `${path} is not below ${directory}.`);
}

async function readEntry(queries: Sql, key: string): Promise<Entry | undefined> {
  const [row] = await queries.rows<EntryRow>(
    `select ${columns} from entries e where e.parent_id = ? and e.name = ?`,
    partsOfEntryKey(key),
  );
  return row && entryOf(row);
}

async function readFile(queries: Sql, id: FileId): Promise<FileRecord | undefined> {
  const rows = await queries.rows<FileAndBlobRow>(
    `select ${fileAndBlobColumns} from ${fileAndBlobTables} where f.id = ? order by fb.sequence`,
    [id],
  );
  return filesOf(rows)[0];
}

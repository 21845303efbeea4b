import { type FileId, type FilePath, namesOf, StoreError } from '@dfs/shared';
import type { Database, Sql } from '../database.ts';
import { outcomeOfKey, storedKeyOf } from '../decisions/idempotency.ts';
import type { MetadataCaches } from '../metadata-caches.ts';
import type {
  BindOutcome,
  DirectoryPage,
  Entry,
  FileRecord,
  ListedEntry,
  NamedFile,
} from '../metadata-repository.ts';
import { entryKeyOf, nowhereId, partsOfEntryKey } from '../root-entries.ts';
import {
  type EntryRow,
  entryColumns,
  entryOf,
  type FileAndBlobRow,
  type FileRow,
  fileAndBlobColumns,
  fileAndBlobTables,
  filesOf,
} from '../rows.ts';
import { isPublicAt } from '../visibility.ts';
import { chainsOfDirectories, pathOfChain } from './directory-chains.ts';

const rootKey = entryKeyOf(nowhereId, '');
const pageMax = 10_000;
/** A content has one name, or few: of these the newest that is in the tree is given. */
const namesLookedAt = 100;

const columns = entryColumns.map((column) => `e.${column}`).join(', ');

/** Reads of the tree: from the caches where they can be, else from the database. */
export class TreeReader {
  readonly #database: Database;
  readonly #caches: MetadataCaches;

  constructor(database: Database, caches: MetadataCaches) {
    this.#database = database;
    this.#caches = caches;
  }

  async findEntry(path: FilePath): Promise<Entry | undefined> {
    return (await this.#findChain(this.#database, path))?.at(-1);
  }

  async findFile(path: FilePath): Promise<NamedFile | undefined> {
    const named = await this.#findFile(this.#database, path);
    if (named !== 'torn') return named;
    // The name was bound anew between the two reads.
    const again = await this.#database.read((sql) => this.#findFile(sql, path, { fresh: true }));
    return again === 'torn' ? undefined : again;
  }

  async #findFile(
    queries: Sql,
    path: FilePath,
    { fresh = false } = {},
  ): Promise<NamedFile | 'torn' | undefined> {
    const chain = await (fresh ? readChain(queries, path) : this.#findChain(queries, path));
    const entry = chain?.at(-1);
    if (!chain || !entry) return undefined;
    if (entry.fileId === undefined) {
      throw new StoreError('is-a-directory', `${path} is a directory.`);
    }
    const file = await this.#fileOf(queries, entry.fileId);
    return file ? { path, entry, file, isPublic: isPublicAt(chain) } : 'torn';
  }

  async findFileById(id: FileId): Promise<NamedFile | undefined> {
    return this.#database.read(async (sql) => {
      const rows = await sql.rows<EntryRow>(
        `select ${columns} from entries e where e.file_id = ? order by e.modified_at desc, e.id desc limit ?`,
        [id, namesLookedAt],
      );
      const parentIds = new Set(rows.map((row) => row.parent_id));
      const chains = await chainsOfDirectories(sql, parentIds, this.#caches.loadDirectories);
      const row = rows.find(({ parent_id }) => chains.has(parent_id));
      const file = row && (await this.#fileOf(sql, id));
      if (!row || !file) return undefined;
      const entry = entryOf(row);
      const chain = [...(chains.get(entry.parentId) ?? []), entry];
      return { path: pathOfChain(chain), entry, file, isPublic: isPublicAt(chain) };
    });
  }

  async listDirectory(
    path: FilePath,
    { after = '', limit }: { after?: string; limit: number },
  ): Promise<DirectoryPage> {
    const chain = await this.#findChain(this.#database, path);
    const directory = chain?.at(-1);
    if (!chain || !directory) throw new StoreError('not-found', `There is no directory ${path}.`);
    if (directory.kind !== 'directory') {
      throw new StoreError('not-a-directory', `${path} is a file.`);
    }
    const count = Math.max(1, Math.min(pageMax, limit));
    const rows = await this.#database.rows<EntryRow & Partial<ListedFileRow>>(
      `select ${columns}, f.size_bytes, f.md5, f.content_type from entries e left join files f on f.id = e.file_id
       where e.parent_id = ? and e.name > ? order by e.name limit ?`,
      [directory.id, after, count + 1],
    );
    const entries = rows.slice(0, count).map((row) => listedEntryOf(row, chain));
    const last = entries.at(-1);
    return rows.length > count && last ? { entries, next: last.name } : { entries };
  }

  /** Undefined when the key is not known or is older than a day at `nowMs`. Rejects with `idempotency-conflict`. */
  async findRepeated(key: string, path: FilePath, nowMs: number): Promise<BindOutcome | undefined> {
    const [row] = await this.#database.rows<{ path: string; outcome: string; created_at: number }>(
      'select path, outcome, created_at from idempotency_keys where key = ?',
      [storedKeyOf(key)],
    );
    return row && outcomeOfKey({ ...row, createdAtMs: row.created_at }, path, nowMs);
  }

  async #findChain(queries: Sql, path: FilePath): Promise<Entry[] | undefined> {
    const root = await this.#entryOf(queries, rootKey);
    if (!root) return undefined;
    const chain = [root];
    for (const name of namesOf(path)) {
      const entry = await this.#entryOf(queries, entryKeyOf((chain.at(-1) as Entry).id, name));
      if (!entry) return undefined;
      chain.push(entry);
    }
    return chain;
  }

  async #entryOf(queries: Sql, key: string): Promise<Entry | undefined> {
    // Asked first by itself: hot names cost no promise and no list.
    const kept = this.#caches.entries.get(key);
    if (kept) return kept;
    const found = await this.#caches.entries.load([key], async () => {
      const entry = await readEntry(queries, key);
      return entry ? [[key, entry] as const] : [];
    });
    return found.get(key);
  }

  async #fileOf(queries: Sql, id: FileId): Promise<FileRecord | undefined> {
    const kept = this.#caches.files.get(id);
    if (kept) return kept;
    const found = await this.#caches.files.load([id], async () => {
      const rows = await queries.rows<FileAndBlobRow>(
        `select ${fileAndBlobColumns} from ${fileAndBlobTables} where f.id = ? order by fb.sequence`,
        [id],
      );
      return filesOf(rows).map((file) => [file.id, file] as const);
    });
    return found.get(id);
  }
}

async function readChain(queries: Sql, path: FilePath): Promise<Entry[] | undefined> {
  const chain: Entry[] = [];
  for (const name of ['', ...namesOf(path)]) {
    const entry = await readEntry(queries, entryKeyOf(chain.at(-1)?.id ?? nowhereId, name));
    if (!entry) return undefined;
    chain.push(entry);
  }
  return chain;
}

async function readEntry(queries: Sql, key: string): Promise<Entry | undefined> {
  const [row] = await queries.rows<EntryRow>(
    `select ${columns} from entries e where e.parent_id = ? and e.name = ?`,
    partsOfEntryKey(key),
  );
  return row && entryOf(row);
}

type ListedFileRow = Pick<FileRow, 'size_bytes' | 'md5' | 'content_type'>;

function listedEntryOf(
  row: EntryRow & Partial<ListedFileRow>,
  chain: readonly Entry[],
): ListedEntry {
  const entry = entryOf(row);
  const isPublic = isPublicAt([...chain, entry]);
  if (entry.fileId === undefined) return { ...entry, isPublic };
  const { size_bytes, md5, content_type } = row as EntryRow & ListedFileRow;
  const file = { id: entry.fileId, sizeBytes: size_bytes, md5, contentType: content_type };
  return { ...entry, file, isPublic };
}

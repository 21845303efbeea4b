import { createHash } from 'node:crypto';
import type { BlobId, FileId, NodeId } from '@dfs/shared';
import type { Database } from '../database.ts';
import { chunksOf, places } from '../sql-text.ts';
import { clearTable } from './derive.ts';
import type { FoundBlob, FoundFile } from './restore-types.ts';

interface FoundBlobRow {
  readonly file_id: FileId;
  readonly sequence: number;
  readonly blob_id: BlobId;
  readonly node_id: NodeId;
  readonly size_bytes: number;
  readonly md5: string;
  readonly stored_at: number;
  readonly created_at: number;
  readonly path: string;
  readonly content_type: string;
  readonly whole: string | null;
}

/** What nodes say of blobs that the journal does not know, kept in tables so that any number of them can be judged in the memory of a page. */
export class FoundTables {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async clear(): Promise<void> {
    await clearTable(this.#database, 'found_blobs', 'file_id');
    await clearTable(this.#database, 'found_files', 'file_id');
  }

  async blobs({ after = '', limit }: { after?: string; limit: number }): Promise<FoundBlob[]> {
    const ids = await this.#database.rows<{ file_id: FileId }>(
      'select distinct file_id from found_blobs where file_id > ? order by file_id limit ?',
      [after, limit],
    );
    const last = ids.at(-1);
    if (!last) return [];
    const rows = await this.#database.rows<FoundBlobRow>(
      `select * from found_blobs where file_id > ? and file_id <= ?
       order by file_id, sequence, blob_id, stored_at, node_id`,
      [after, last.file_id],
    );
    return rows.map(foundBlobOf);
  }

  async keep(files: readonly FoundFile[]): Promise<void> {
    if (files.length === 0) return;
    await this.#database.transaction(async (sql) => {
      for (const some of chunksOf(files, 4)) {
        await sql.rows(
          `insert into found_files (file_id, path_key, path, file)
           values ${some.map(() => `(${places([1, 2, 3, 4])})`).join(', ')} on conflict do nothing`,
          some.flatMap((found) => [
            found.file.id,
            keyOf(found.path),
            found.path,
            JSON.stringify(found),
          ]),
        );
      }
    });
  }

  async atNextPath(
    after = '',
  ): Promise<{ readonly key: string; readonly files: readonly FoundFile[] } | undefined> {
    const rows = await this.#database.rows<{ path_key: string; file: string }>(
      `select path_key, file from found_files where path_key =
       (select min(path_key) from found_files where path_key > ?) order by file_id`,
      [after],
    );
    const [first] = rows;
    if (!first) return undefined;
    return {
      key: first.path_key,
      files: rows.map(({ file }) => JSON.parse(file) as FoundFile),
    };
  }
}

const keyOf = (path: string) => createHash('md5').update(path).digest('hex');

const foundBlobOf = (row: FoundBlobRow): FoundBlob => ({
  blobId: row.blob_id,
  nodeId: row.node_id,
  fileId: row.file_id,
  sequence: row.sequence,
  sizeBytes: row.size_bytes,
  md5: row.md5,
  storedAtMs: row.stored_at,
  createdAtMs: row.created_at,
  path: row.path,
  contentType: row.content_type,
  ...(row.whole === null ? {} : { whole: JSON.parse(row.whole) as FoundBlob['whole'] & object }),
});

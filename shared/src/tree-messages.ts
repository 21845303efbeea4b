import type { EntryId, FileId } from './ids.ts';

/** Bodies of the public port about the tree as a whole. Sizes in bytes, times ISO 8601 in UTC. */

/** `GET /api/v1/usage/<path>`, and `usage` of a directory's listing: all that is below it. A directory's numbers may be seconds late. */
export interface UsageAnswer {
  readonly path: string;
  readonly files: number;
  /** Without the directory itself. */
  readonly directories: number;
  readonly bytes: number;
}

/** One line of `GET /find/<dir>/?format=json` (NDJSON): depth first, names in byte order. */
export interface FoundEntry {
  readonly path: string;
  readonly kind: 'file' | 'directory';
  readonly modified: string;
  /** Only on files. */
  readonly id?: FileId;
  readonly size?: number;
  readonly md5?: string;
}

/** What was removed or replaced, and can be brought back until it expires. */
export interface TrashItem {
  readonly id: EntryId;
  /** Where it was. */
  readonly path: string;
  readonly kind: 'file' | 'directory';
  readonly reason: 'deleted' | 'replaced';
  readonly removed: string;
  readonly expires: string;
  /** Of a directory: all that is in it, as `UsageAnswer`. */
  readonly size: number;
  readonly files: number;
}

/** `GET /api/v1/trash?after=&limit=&path=`: newest first; `path`: only what was there or below it. */
export interface TrashAnswer {
  readonly items: readonly TrashItem[];
  /** To give as `after` for the next page. */
  readonly next?: string;
}

/** `POST /api/v1/trash/restore`. */
export interface TrashRestoreRequest {
  readonly id: EntryId;
  /** Where to; by default where it was. Missing parents are made. */
  readonly to?: string;
  /** When the name is taken; `fail` by default. */
  readonly onConflict?: 'fail' | 'rename' | 'replace';
}

export interface TrashRestoreAnswer {
  readonly path: string;
}

/** `POST /api/v1/trash/empty`: these, or what was at or below the path, or, without both, everything. */
export interface TrashEmptyRequest {
  readonly ids?: readonly EntryId[];
  readonly path?: string;
}

export interface TrashEmptyAnswer {
  readonly removed: number;
}

/** `POST /api/v1/touch/<path>`. */
export interface TouchRequest {
  /** Now by default. */
  readonly modified?: string;
  /** Whether an empty file is made where nothing is; true by default. */
  readonly create?: boolean;
}

/** `PUT /api/v1/copies/<path>`; null: as the directory above has it. */
export interface CopiesRequest {
  readonly copies: number | null;
}

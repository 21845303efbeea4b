import type { EntryId } from '@dfs/shared';
import type { Database } from '../database.ts';
import type { EntryKind } from '../metadata-repository.ts';
import type { Usage } from '../tree-changes.ts';

interface UsageRow {
  readonly kind: EntryKind;
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
}

/** What is below a directory as far as it was told, or a file itself; undefined when there is no such entry. */
export async function usageOfEntry(database: Database, id: EntryId): Promise<Usage | undefined> {
  const [row] = await database.rows<UsageRow>(
    `select e.kind, case when e.kind = 'file' then 1 else coalesce(s.files + s.pending_files, 0) end as files,
     coalesce(s.directories + s.pending_directories, 0) as directories,
     coalesce(f.size_bytes, s.bytes + s.pending_bytes, 0) as bytes
     from entries e left join files f on f.id = e.file_id left join directory_sizes s on s.directory_id = e.id
     where e.id = ?`,
    [id],
  );
  return row && { ...row };
}

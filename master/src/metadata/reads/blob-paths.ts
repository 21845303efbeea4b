import type { BlobId, EntryId } from '@dfs/shared';
import type { Sql } from '../database.ts';
import type { LoadDirectories } from '../metadata-caches.ts';
import { chunksOf, places } from '../sql-text.ts';
import { chainsOfDirectories, pathOfChain } from './directory-chains.ts';

interface NameRow {
  readonly blob_id: BlobId;
  readonly parent_id: EntryId;
  readonly name: string;
}

/** The path of a name that holds each blob now; blobs that no name holds are absent. `load`: as for `chainsOfDirectories`. */
export async function pathsOfBlobs(
  sql: Sql,
  blobIds: Iterable<BlobId>,
  load?: LoadDirectories,
): Promise<ReadonlyMap<BlobId, string>> {
  const paths = new Map<BlobId, string>();
  for (const ids of chunksOf([...new Set(blobIds)], 1)) {
    const names = await sql.rows<NameRow>(
      `select fb.blob_id, e.parent_id, e.name from file_blobs fb join entries e on e.file_id = fb.file_id
       where fb.blob_id in (${places(ids)})`,
      ids,
    );
    const parentIds = new Set(names.map((row) => row.parent_id));
    const parents = await chainsOfDirectories(sql, parentIds, load);
    for (const { blob_id, parent_id, name } of names) {
      const chain = parents.get(parent_id);
      if (chain) paths.set(blob_id, `${pathOfChain(chain).replace(/\/$/, '')}/${name}`);
    }
  }
  return paths;
}

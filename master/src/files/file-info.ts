import type { BlobId } from '@dfs/shared';
import type { NodeDirectory } from '../cluster/node-directory.ts';
import type { BlobToBind, NamedFile, Replica } from '../metadata/metadata-repository.ts';
import type { FileInfo } from './file-types.ts';

/** A file as just bound, with the copies that its upload made. */
export function infoOfBound(
  named: NamedFile,
  blobs: readonly BlobToBind[],
  nodes: NodeDirectory,
): FileInfo {
  return {
    ...named,
    ...primaryOf(blobs[0]?.primary, nodes),
    copies: {
      stored: Math.min(...blobs.map((blob) => 1 + blob.storedOn.length)),
      wanted: named.copiesWanted,
    },
  };
}

/**
 * A file with the copies that the rows tell of: of several blobs, the one with the fewest counts. A content that it shares with a file which wants more has
 * rows for them.
 */
export function infoOfStored(
  named: NamedFile,
  replicas: ReadonlyMap<BlobId, readonly Replica[]>,
  nodes: NodeDirectory,
): FileInfo {
  const rows = named.file.blobs.map(({ blobId }) => replicas.get(blobId) ?? []);
  const stored = rows.map((row) => row.filter(({ state }) => state === 'stored').length);
  const pending = rows.map((row) => row.filter(isPending).length);
  const primary = rows[0]?.find(({ role }) => role === 'primary');
  return {
    ...named,
    ...primaryOf(primary?.nodeId, nodes),
    copies: {
      stored: Math.min(...stored),
      wanted: Math.max(
        named.copiesWanted,
        ...stored.map((count, index) => count + (pending[index] ?? 0)),
      ),
    },
  };
}

const isPending = ({ state }: Replica) => state === 'wanted' || state === 'corrupt';

function primaryOf(
  id: BlobToBind['primary'] | undefined,
  nodes: NodeDirectory,
): Pick<FileInfo, 'primary'> {
  return id === undefined ? {} : { primary: { id, name: nodes.find(id)?.name ?? id } };
}

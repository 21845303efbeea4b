import { setTimeout as timeout } from 'node:timers/promises';
import { newBlobId, StoreError, shardOf } from '@dfs/shared';
import type { NamedFile, Replica } from '../metadata/metadata-repository.ts';
import { blobSourcesOf } from './blob-sources.ts';
import { openFile } from './failover-reader.ts';
import { infoOfStored } from './file-info.ts';
import type { FileServiceDependencies, FileServiceSettings } from './file-service-dependencies.ts';
import type { FileRef, FileService, ReplicaInfo } from './file-types.ts';
import { HeldBytes } from './held-bytes.ts';
import { locateBlob } from './locate-blob.ts';
import { mustServe } from './serving.ts';
import { createTrash } from './trash-service.ts';
import { createTree } from './tree-service.ts';
import { createUploads } from './uploads.ts';

/** The file service over a metadata repository and nodes. While the master is in recovery every call rejects with `in-recovery`. */
export function createFileService(settings: FileServiceSettings): FileService {
  const dependencies: FileServiceDependencies = {
    ...settings,
    wait: settings.wait ?? wait,
    newBlobId: settings.newBlobId ?? newBlobId,
    onTrashExpired: settings.onTrashExpired ?? (() => undefined),
    held: new HeldBytes(settings.config.heldTotalBytes),
  };
  const { metadata, nodes } = dependencies;

  const find = async (ref: FileRef): Promise<NamedFile | undefined> => {
    mustServe(dependencies);
    return 'path' in ref ? metadata.findFile(ref.path) : metadata.findFileById(ref.id);
  };
  const get = async (ref: FileRef): Promise<NamedFile> => {
    const named = await find(ref);
    if (named) return named;
    const what =
      'path' in ref ? `There is no file at ${ref.path}.` : `No file has the id ${ref.id}.`;
    throw new StoreError('not-found', what, { hint: 'Look at the directory for what is there.' });
  };
  const replicasOf = ({ file }: NamedFile) =>
    metadata.replicasOf(file.blobs.map(({ blobId }) => blobId));

  const uploads = createUploads(dependencies);
  return {
    ...uploads,
    ...createTree(dependencies, uploads),
    ...createTrash(dependencies),
    find,
    async stat(ref) {
      const named = await get(ref);
      return infoOfStored(named, await replicasOf(named), nodes);
    },
    async open(file, request) {
      mustServe(dependencies);
      return openFile(dependencies, file, request);
    },
    async locate(named, avoid) {
      mustServe(dependencies);
      return locateBlob(dependencies, named, avoid);
    },
    async sources(file) {
      mustServe(dependencies);
      return blobSourcesOf(dependencies, file);
    },
    async replicas(ref) {
      const named = await get(ref);
      const replicas = await replicasOf(named);
      return named.file.blobs.flatMap(({ blobId }, sequence) =>
        (replicas.get(blobId) ?? []).map((replica) => replicaInfo(replica, sequence)),
      );
    },
  };

  function replicaInfo({ blobId, nodeId, role, state }: Replica, sequence: number): ReplicaInfo {
    const node = nodes.find(nodeId);
    const path = `${node?.dataDir ?? ''}/blobs/${shardOf(blobId)}/${blobId}`;
    return { node: { id: nodeId, name: node?.name ?? nodeId }, role, state, path, sequence };
  }
}

const wait = async (ms: number, signal?: AbortSignal): Promise<void> => {
  await timeout(ms, undefined, signal ? { signal } : {});
};

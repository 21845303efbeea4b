import { type FileId, type FilePath, rootPath, StoreError } from '@dfs/shared';
import type { NodeSnapshot } from '../../cluster/node-directory.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Front } from '../http/front.ts';
import { referenceOf } from './reference.ts';

/** What a node stores and caches, sizes in bytes; of the master: all nodes together, and the files of the tree. */
export interface Information {
  readonly name: string;
  /** Seconds. */
  readonly uptime: number;
  readonly total_memory: number;
  readonly free_memory: number;
  readonly cached_memory: number;
  readonly stored: number;
  readonly cached_files: readonly InformationFile[];
  /** Not more than were asked for. */
  readonly stored_files: readonly InformationFile[];
}

export interface InformationFile {
  readonly filename: string;
  readonly query_string: string;
  readonly size: number;
  readonly public: boolean;
}

const count = { usual: 100, max: 10_000 };

/** The parameter `count`: how many files are listed. Rejects with `invalid-request`. */
export function readCount({ query }: Exchange): number {
  const text = query.get('count')?.trim() || String(count.usual);
  if (/^\d{1,5}$/.test(text) && Number(text) <= count.max) return Number(text);
  throw new StoreError('invalid-request', `The count is no number from 0 to ${count.max}.`);
}

/** So many files are looked at for those that a node stores. */
const lookedAtMax = 2_000;

/** Of the node whose instance is asked; of all together where the master has none of its own. */
export async function informationOf(
  front: Front,
  exchange: Exchange,
  filesMax: number,
): Promise<Information> {
  const { config, nodes } = front;
  const own = ownNodeOf(front, exchange);
  const snapshots = own ? [own] : nodes.snapshots();
  const sum = (of: (node: NodeSnapshot) => number) =>
    snapshots.reduce((total, node) => total + of(node), 0);
  return {
    name: own?.name ?? config.instanceName,
    uptime: own?.told?.uptimeSeconds ?? Math.floor(process.uptime()),
    total_memory: sum(({ capacityBytes }) => capacityBytes),
    free_memory: sum(({ freeBytes }) => freeBytes),
    cached_memory: sum(({ told }) => told?.cachedBytes ?? 0),
    stored: sum(({ usedBytes }) => usedBytes),
    cached_files: await cachedFiles(front, snapshots, filesMax),
    stored_files: await storedFiles(front, own, filesMax),
  };
}

/** The node of this instance: that which passed the request on, else the one that has the name of the master. */
export function ownNodeOf({ nodes, config }: Front, exchange: Exchange): NodeSnapshot | undefined {
  const { forwardedFor } = exchange;
  if (forwardedFor) return nodes.find(forwardedFor.byNode);
  return nodes.snapshots().find(({ name }) => name === config.instanceName);
}

async function cachedFiles(
  front: Front,
  nodes: readonly NodeSnapshot[],
  filesMax: number,
): Promise<InformationFile[]> {
  const blobs = new Set(nodes.flatMap(({ id }) => front.caching.directory.blobsOf(id)));
  const found: InformationFile[] = [];
  for (const blobId of blobs) {
    if (found.length === filesMax) break;
    // The first blob of an upload has the file's id; further ones, and copies of a file, tell no name here.
    const named = await front.files.find({ id: blobId as string as FileId });
    if (named) found.push(fileOf(front, named));
  }
  return found;
}

/** The first files of the tree that have a copy on the node, or that there are. */
async function storedFiles(
  front: Front,
  node: NodeSnapshot | undefined,
  filesMax: number,
): Promise<InformationFile[]> {
  const { files } = front;
  const found: InformationFile[] = [];
  let lookedAt = 0;
  for await (const page of filesMax === 0 ? [] : files.walk(rootPath)) {
    for (const { path, file, isPublic } of page) {
      if (!file) continue;
      lookedAt += 1;
      if (node === undefined || (await hasCopy(front, file.id, node))) {
        found.push(fileOf(front, { path, file, isPublic }));
      }
      if (found.length === filesMax || lookedAt === lookedAtMax) return found;
    }
  }
  return found;
}

async function hasCopy({ files }: Front, id: FileId, node: NodeSnapshot): Promise<boolean> {
  try {
    const copies = await files.replicas({ id });
    return copies.some((copy) => copy.node.id === node.id && copy.state === 'stored');
  } catch (error) {
    // It went meanwhile.
    if (error instanceof StoreError && error.kind === 'not-found') return false;
    throw error;
  }
}

const fileOf = (
  { config }: Front,
  { path, file, isPublic }: { path: FilePath; file: { sizeBytes: number }; isPublic: boolean },
): InformationFile => ({
  filename: path.slice(1),
  query_string: referenceOf(path, { id: '', name: config.instanceName }),
  size: file.sizeBytes,
  public: isPublic,
});

import { rootPath, StoreError } from '@dfs/shared';
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

/** Of the cluster as its master sees it. */
export async function informationOf(front: Front, filesMax: number): Promise<Information> {
  const { config, nodes } = front;
  const snapshots = nodes.snapshots();
  const sum = (of: (node: (typeof snapshots)[number]) => number) =>
    snapshots.reduce((total, node) => total + of(node), 0);
  return {
    name: config.instanceName,
    uptime: Math.floor(process.uptime()),
    total_memory: sum(({ capacityBytes }) => capacityBytes),
    free_memory: sum(({ freeBytes }) => freeBytes),
    cached_memory: sum(({ told }) => told?.cachedBytes ?? 0),
    stored: sum(({ usedBytes }) => usedBytes),
    cached_files: [],
    stored_files: await firstFiles(front, filesMax),
  };
}

async function firstFiles({ files, config }: Front, filesMax: number): Promise<InformationFile[]> {
  const found: InformationFile[] = [];
  if (filesMax === 0) return found;
  for await (const page of files.walk(rootPath)) {
    for (const { path, file, isPublic } of page) {
      if (!file) continue;
      const query = referenceOf(path, { id: '', name: config.instanceName });
      found.push({
        filename: path.slice(1),
        query_string: query,
        size: file.sizeBytes,
        public: isPublic,
      });
      if (found.length === filesMax) return found;
    }
  }
  return found;
}

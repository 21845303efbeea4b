import type { RequestCounter } from '@dfs/shared/serving';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { BlobTally } from './blob-tally.ts';
import type { ReadCache } from './cache/read-cache.ts';
import type { NodeCounters } from './counters.ts';
import type { Scrubber } from './scrubber.ts';
import type { Space } from './space.ts';

export interface NodeMetrics extends RequestCounter {
  /** What `/metrics` answers. */
  text(): Promise<{ contentType: string; text: string }>;
}

/** The node's counts in the format of Prometheus; they are read when somebody asks. */
export function createMetrics(sources: {
  readonly counters: NodeCounters;
  readonly tally: BlobTally;
  readonly space: Space;
  readonly scrubs: Pick<Scrubber, 'status'>;
  readonly cache: Pick<ReadCache, 'counters' | 'blobs'>;
}): NodeMetrics {
  const { counters, tally, space, scrubs, cache } = sources;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];

  const requests = new Counter({
    name: 'dfs_node_public_requests_total',
    help: 'Requests that the public listener answered.',
    labelNames: ['method', 'status'],
    registers,
  });
  const bytes = new Counter({
    name: 'dfs_node_public_bytes_total',
    help: 'Bytes that went over connections of the public listener.',
    labelNames: ['direction'],
    registers,
  });

  const counts = (name: string, help: string, read: () => Record<string, number>) =>
    new Counter({
      name,
      help,
      labelNames: ['kind'],
      registers,
      collect() {
        this.reset();
        for (const [kind, value] of Object.entries(read())) this.inc({ kind }, value);
      },
    });
  counts('dfs_node_blobs_handled_total', 'Blobs stored, opened, deleted and pulled.', () => ({
    put: counters.putCount,
    get: counters.getCount,
    delete: counters.deleteCount,
    pull: counters.pullCount,
  }));
  counts(
    'dfs_node_bytes_total',
    'Bytes of blobs stored, sent, pulled and fetched for readers.',
    () => ({
      put: counters.putBytes,
      get: counters.getBytes,
      pull: counters.pullBytes,
      fetch: cache.counters.fetchedBytes,
    }),
  );
  counts(
    'dfs_node_cache_blocks_total',
    'Blocks of 1 MiB that readers wanted from the cache: those that were there, and those that were not.',
    () => ({
      hit: cache.counters.hitBlocks,
      miss: cache.counters.missBlocks,
    }),
  );
  counts(
    'dfs_node_cache_losses_total',
    'Cached blobs that gave way to others, and damage found in the cache.',
    () => ({
      evicted: cache.blobs.evictedBlobs,
      damaged: cache.counters.damaged,
    }),
  );
  counts('dfs_node_errors_total', 'Requests refused or failed, by code.', () =>
    Object.fromEntries(counters.errors),
  );
  counts('dfs_node_damages_total', 'Bad copies found.', () => ({ found: counters.damageCount }));

  const shows = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  shows(
    'dfs_node_requests',
    'Requests being served, the one that asks for this included.',
    () => counters.requestsNow,
  );
  shows('dfs_node_blobs', 'Blobs on the disk.', () => tally.blobCount);
  shows('dfs_node_used_bytes', 'Bytes that the files of blobs have.', () => tally.usedBytes);
  shows(
    'dfs_node_free_bytes',
    'Bytes free on the disk, the reserve and what is cached included.',
    () => space.freeBytes,
  );
  shows('dfs_node_capacity_bytes', 'Bytes of the disk.', () => space.capacityBytes);
  shows(
    'dfs_node_cached_blobs',
    'Blobs in the cache, in whole or in part.',
    () => cache.blobs.count,
  );
  shows(
    'dfs_node_cached_bytes',
    'Bytes that the cache takes on the disk.',
    () => cache.blobs.usedBytes,
  );
  shows('dfs_node_cache_limit_bytes', 'What it may take.', () => cache.blobs.limitBytes);

  shows(
    'dfs_node_scrub_done_ratio',
    'Share of the disk that the running scrub has read; 1 when none runs.',
    () => scrubs.status().running?.doneShare ?? 1,
  );
  shows(
    'dfs_node_scrub_awaiting_repair',
    'Damaged copies that scrubs found and that were not replaced yet.',
    () => scrubs.status().awaitingRepair,
  );
  shows(
    'dfs_node_scrub_completed_seconds',
    'When a scrub last came to its end, Unix time; 0: never.',
    () => (scrubs.status().last?.completedAtMs ?? 0) / 1_000,
  );

  return {
    requestEnded: ({ method, status, receivedBytes, sentBytes }) => {
      requests.inc({ method, status: String(status) });
      bytes.inc({ direction: 'in' }, receivedBytes);
      bytes.inc({ direction: 'out' }, sentBytes);
    },
    text: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}

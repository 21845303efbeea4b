import type { JournalAnswer, ReplicationAttempt } from '@dfs/shared';
import type { RequestCounter } from '@dfs/shared/serving';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { NodeDirectory } from './cluster/node-directory.ts';
import { addJournalGauges } from './journal/journal-gauges.ts';
import type { MetadataRepository, StoreCounts } from './metadata/metadata-repository.ts';

/** What Prometheus may ask. The figures of the store are read when it asks, not kept up to date. */
export interface Metrics extends RequestCounter {
  /** A request had a wrong key, or was refused because of earlier ones. */
  authenticationFailed(kind: 'wrong-key' | 'throttled'): void;
  replicationsAttempted(attempts: readonly Pick<ReplicationAttempt, 'outcome'>[]): void;
  /** The exposition and its media type. Rejects when the database does. */
  expose(): Promise<{ readonly text: string; readonly contentType: string }>;
}

export interface MetricsDependencies {
  readonly metadata: Pick<MetadataRepository, 'counts'>;
  readonly nodes: Pick<NodeDirectory, 'snapshots'>;
  readonly journal?: () => JournalAnswer;
  /** For how long sizes of directories have been behind, ms. */
  readonly sizesLagMs: () => number;
}

/** Makes the master's metrics in a registry of their own. Figures of the process (memory, event loop) are among them. */
export function createMetrics(dependencies: MetricsDependencies): Metrics {
  const { metadata, nodes, journal, sizesLagMs } = dependencies;
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    name: 'dfs_requests_total',
    help: 'Requests of the public port; status 499 is a client that went away before an answer.',
    labelNames: ['method', 'status'],
    registers,
  });
  const bytes = new Counter({
    name: 'dfs_bytes_total',
    help: 'Bytes of the public port on the wire, by direction.',
    labelNames: ['direction'],
    registers,
  });
  const wrongKeys = new Counter({
    name: 'dfs_failed_authentications_total',
    help: 'Requests with a wrong key.',
    registers,
  });
  const throttled = new Counter({
    name: 'dfs_throttled_authentications_total',
    help: 'Requests with a key that was not looked at, since too many wrong ones came from the address.',
    registers,
  });
  const attempts = new Counter({
    name: 'dfs_replication_attempts_total',
    help: 'Attempts to make a copy, by outcome.',
    labelNames: ['outcome'],
    registers,
  });
  new Gauge({
    name: 'dfs_nodes',
    help: 'Storage nodes by state.',
    labelNames: ['state'],
    registers,
    collect() {
      this.reset();
      for (const node of nodes.snapshots()) this.inc({ state: node.state });
    },
  });
  if (journal) addJournalGauges(registers, journal);
  new Gauge({
    name: 'dfs_sizes_lag_seconds',
    help: 'For how long sizes of directories have not known all that is below them; 0: they do.',
    registers,
    collect() {
      this.set(sizesLagMs() / 1000);
    },
  });
  const stored = new StoreGauges(registers);

  return {
    requestEnded({ method, status, receivedBytes, sentBytes }) {
      requests.inc({ method, status: String(status) });
      bytes.inc({ direction: 'in' }, receivedBytes);
      bytes.inc({ direction: 'out' }, sentBytes);
    },
    authenticationFailed: (kind) => (kind === 'wrong-key' ? wrongKeys : throttled).inc(),
    replicationsAttempted(made) {
      for (const { outcome } of made) attempts.inc({ outcome });
    },
    async expose() {
      stored.set(await metadata.counts());
      return { text: await registry.metrics(), contentType: registry.contentType };
    },
  };
}

/** The gauges that come from one reading of the database. */
class StoreGauges {
  readonly #replicas: Gauge<'state'>;
  readonly #wanted: Gauge;
  readonly #withoutCopy: Gauge;
  readonly #missingBytes: Gauge;
  readonly #files: Gauge;
  readonly #bytes: Gauge;
  readonly #trashFiles: Gauge;
  readonly #trashBytes: Gauge;

  constructor(registers: Registry[]) {
    this.#replicas = new Gauge({
      name: 'dfs_replicas',
      help: 'Copies of blobs by state.',
      labelNames: ['state'],
      registers,
    });
    this.#wanted = new Gauge({
      name: 'dfs_replicas_wanted',
      help: 'Copies still to be made, and blobs for which there are too few nodes; 0: all copies are stored.',
      registers,
    });
    this.#withoutCopy = new Gauge({
      name: 'dfs_blobs_without_copy',
      help: 'Blobs with no stored copy at all.',
      registers,
    });
    this.#missingBytes = new Gauge({
      name: 'dfs_missing_bytes',
      help: 'Bytes of the copies still to be made.',
      registers,
    });
    this.#files = new Gauge({ name: 'dfs_files', help: 'Names of files in the tree.', registers });
    this.#bytes = new Gauge({
      name: 'dfs_logical_bytes',
      help: 'Bytes of all files, each counted once whatever its copies.',
      registers,
    });
    this.#trashFiles = new Gauge({
      name: 'dfs_trash_files',
      help: 'Files in the trash, those that are still to be collected included.',
      registers,
    });
    this.#trashBytes = new Gauge({
      name: 'dfs_trash_bytes',
      help: 'Bytes of the files in the trash, each counted once whatever its copies.',
      registers,
    });
  }

  set(counts: StoreCounts): void {
    this.#trashFiles.set(counts.trash.files);
    this.#trashBytes.set(counts.trash.bytes);
    const { replicas } = counts;
    for (const [state, value] of Object.entries(replicas)) this.#replicas.set({ state }, value);
    this.#wanted.set(replicas.wanted + replicas.corrupt + counts.blobsShort);
    this.#withoutCopy.set(counts.blobsWithoutCopy);
    this.#missingBytes.set(counts.missingBytes);
    this.#files.set(counts.files);
    this.#bytes.set(counts.logicalBytes);
  }
}

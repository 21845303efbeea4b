import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type FilePath, parseFilePath, type ReplicationJob } from '@dfs/shared';
import {
  bytesOf,
  FakeClock,
  type RecordedLine,
  recordingLogger,
  seededRandom,
  temporaryDirectory,
} from '@dfs/shared/testing';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import { openMetadataRepository } from '../metadata/open-metadata-repository.ts';
import { BlobsInUse } from './blobs-in-use.ts';
import { createFileService } from './file-service.ts';
import {
  defaultFileServiceConfig,
  type FileServiceConfig,
  type FileServiceSettings,
} from './file-service-dependencies.ts';
import type { FileService, OpenRequest, PutOutcome, PutRequest } from './file-types.ts';
import { TestNodes } from './test-nodes.ts';

export interface TestClusterOptions {
  readonly nodes?: number;
  /** Of each node. */
  readonly capacityBytes?: number;
  readonly config?: Partial<FileServiceConfig>;
  readonly settings?: Partial<FileServiceSettings>;
  readonly seed?: number;
  /** By default memory blob stores. */
  readonly makeNodes?: (clock: FakeClock) => TestNodes;
}

interface Parts {
  readonly metadata: MetadataRepository;
  readonly clock: FakeClock;
  readonly remove: () => Promise<void>;
}

type PutOptions = Partial<Omit<PutRequest, 'path' | 'body'>>;

/** The file service over memory blob stores and a database in a temporary directory. Waits pass at once and move the clock. */
export class TestCluster {
  readonly clock: FakeClock;
  readonly nodes: TestNodes;
  readonly inUse: BlobsInUse;
  readonly hints: ReplicationJob[] = [];
  readonly waits: number[] = [];
  readonly lines: RecordedLine[];
  readonly metadata: MetadataRepository;
  readonly files: FileService;

  readonly #remove: () => Promise<void>;
  readonly #makeFiles: (
    changes: Partial<FileServiceConfig>,
    settings?: Partial<FileServiceSettings>,
  ) => FileService;

  private constructor(parts: Parts, options: TestClusterOptions) {
    const { metadata, clock } = parts;
    const { logger, lines } = recordingLogger();
    this.lines = lines;
    this.metadata = metadata;
    this.clock = clock;
    this.#remove = parts.remove;
    this.nodes = options.makeNodes?.(clock) ?? new TestNodes(clock);
    this.inUse = new BlobsInUse(this.clock);
    for (let i = 0; i < (options.nodes ?? 3); i += 1) this.nodes.add(options.capacityBytes);
    this.#makeFiles = (changes, settings = {}) =>
      createFileService({
        metadata,
        nodes: this.nodes,
        replication: { hint: (jobs) => this.hints.push(...jobs) },
        inUse: this.inUse,
        clock,
        logger,
        random: seededRandom(options.seed ?? 1),
        config: {
          copies: 3,
          minCopies: 1,
          segmentBytes: 2 ** 30,
          trashTtlMs: 86_400_000,
          ...defaultFileServiceConfig,
          ...options.config,
          ...changes,
        },
        contentTypeOf: (name) =>
          name.endsWith('.txt') ? 'text/plain' : 'application/octet-stream',
        wait: async (ms, signal) => {
          signal?.throwIfAborted();
          this.waits.push(ms);
          this.clock.advance(ms);
        },
        ...options.settings,
        ...settings,
      });
    this.files = this.#makeFiles({});
  }

  /** Another file service over the same database and nodes, as that of a master which was started anew with other settings. */
  restarted(
    config: Partial<FileServiceConfig>,
    settings: Partial<FileServiceSettings> = {},
  ): FileService {
    return this.#makeFiles(config, settings);
  }

  static async open(options: TestClusterOptions = {}): Promise<TestCluster> {
    const clock = new FakeClock();
    const { path, remove } = await temporaryDirectory();
    const sqliteFile = join(path, 'metadata.sqlite');
    const copies = options.config?.copies ?? 3;
    const metadata = await openMetadataRepository({ sqliteFile, clock, copies });
    return new TestCluster({ metadata, clock, remove }, options);
  }

  async close(): Promise<void> {
    await this.metadata.close();
    await this.#remove();
  }

  /** Puts bytes, as a stream of the given chunks; their size is declared unless `sizeBytes` is given as undefined. */
  put(
    path: string,
    bytes: Buffer | readonly Buffer[],
    options: PutOptions = {},
  ): Promise<PutOutcome> {
    const chunks = Buffer.isBuffer(bytes) ? [bytes] : bytes;
    const sizeBytes = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
    return this.putStream(path, Readable.from(chunks, { objectMode: false }), {
      sizeBytes,
      ...options,
    });
  }

  putStream(path: string, body: Readable, options: PutOptions = {}): Promise<PutOutcome> {
    return this.files.put(requestOf(path, body, options));
  }

  /** Reads a file, or a range of it, by path. */
  async get(path: string, request: Partial<OpenRequest> = {}): Promise<Buffer> {
    const named = await this.files.find({ path: parseFilePath(path) });
    if (!named) throw new Error(`There is no ${path}.`);
    const { signal } = new AbortController();
    const { bytes } = await this.files.open(named.file, { signal, ...request });
    return bytesOf(bytes);
  }
}

export const pathOf = (text: string): FilePath => parseFilePath(text);

export function requestOf(path: string, body: Readable, options: PutOptions = {}): PutRequest {
  const { signal } = new AbortController();
  return { path: pathOf(path), body, onConflict: 'replace', signal, ...options };
}

import { Readable } from 'node:stream';
import {
  type BlobId,
  type BlobSource,
  type FileId,
  type FilePath,
  type NodeId,
  newBlobId,
  newNodeId,
  StoreError,
} from '@dfs/shared';
import { digestOf } from '@dfs/shared/cluster';
import type {
  FileInfo,
  FileRef,
  FileService,
  OpenedFile,
  OpenRequest,
  PutOutcome,
  PutRequest,
  ReplicaInfo,
  StagedFile,
} from '../../files/file-types.ts';
import type { TouchOptions } from '../../files/tree-types.ts';
import type { FileRecord, NamedFile } from '../../metadata/metadata-repository.ts';
import { MemoryTree } from './memory-tree.ts';

/** What a test changes to see how a front takes it. */
export interface Faults {
  /** More than this is `no-room`. */
  roomBytes: number;
  /** Thrown by `open`. */
  open: StoreError | undefined;
  /** The bytes of an open fail with this after so many. */
  breakOff: { afterBytes: number; error: Error } | undefined;
  /** Bytes come no further than this, and never end. */
  stallAfterBytes: number | undefined;
  /** Thrown by `put` and `stage` before the body is read. */
  put: StoreError | undefined;
  /** Awaited before a body is read. */
  holdPut: Promise<void> | undefined;
}

/** Up to this a content is given whole as well, as the interface allows. */
const shortBytes = 1_000;

/**
 * A file service for the tests of fronts: a tree in memory that keeps the promises of `FileService` as far as a front can see them. One node.
 */
export class MemoryFileService extends MemoryTree implements FileService {
  readonly node: { readonly id: NodeId; readonly name: string } = { id: newNodeId(), name: 'one' };
  readonly faults: Faults = {
    roomBytes: Number.POSITIVE_INFINITY,
    open: undefined,
    breakOff: undefined,
    stallAfterBytes: undefined,
    put: undefined,
    holdPut: undefined,
  };
  /** What `open` was asked for, newest last, and the streams that it gave. */
  readonly opened: { request: OpenRequest; bytes: Readable }[] = [];
  /** What `put` and `stage` were asked for. */
  readonly puts: Omit<PutRequest, 'body'>[] = [];
  readonly staged = new Set<FileId>();
  nodeUrl: string | undefined;
  async put(request: PutRequest): Promise<PutOutcome> {
    const [outcome] = await this.bind([await this.stage(request)]);
    return outcome as PutOutcome;
  }

  async checkPut(request: Omit<PutRequest, 'body' | 'signal'>): Promise<void> {
    if (this.faults.put) throw this.faults.put;
    if ((request.sizeBytes ?? 0) > this.faults.roomBytes) {
      throw new StoreError('no-room', `No node has room for ${request.sizeBytes} bytes.`);
    }
    this.checkName(request);
    this.checkCondition(request.path, request);
  }

  async stage(request: PutRequest): Promise<StagedFile> {
    const { body, ...rest } = request;
    this.puts.push(rest);
    await this.checkPut(request);
    await this.faults.holdPut;
    const chunks: Buffer[] = [];
    for await (const chunk of body) chunks.push(chunk as Buffer);
    const bytes = Buffer.concat(chunks);
    const { sizeBytes, md5 } = digestOf(bytes);
    const expected = request.expectedMd5?.();
    if (expected !== undefined && expected !== md5) {
      throw new StoreError('digest-mismatch', `The body has the MD5 ${md5}, not ${expected}.`);
    }
    const blobId = newBlobId();
    const record: FileRecord = {
      id: blobId as string as FileId,
      sizeBytes,
      md5,
      contentType: request.contentType ?? 'application/octet-stream',
      attributes: request.attributes ?? {},
      createdAtMs: this.now(),
      blobs: [{ blobId, offsetBytes: 0, sizeBytes, md5 }],
    };
    this.contents.set(record.id, { record, bytes });
    this.staged.add(record.id);
    return { request: rest, file: record, placement: undefined };
  }

  async bind(staged: readonly StagedFile[]): Promise<readonly PutOutcome[]> {
    for (const { request } of staged) {
      this.checkName(request);
      this.checkCondition(request.path, request);
    }
    return staged.map(({ request, file }) => {
      const isTaken = this.entries.has(request.path);
      if (isTaken && request.onConflict === 'fail') {
        throw new StoreError('precondition-failed', `${request.path} is taken.`);
      }
      const path =
        isTaken && request.onConflict === 'rename' ? this.freeName(request.path) : request.path;
      this.makeParents(path);
      const isNew = !this.entries.has(path);
      const visibility = request.isPublic ? 'public' : 'inherit';
      const modifiedAtMs = request.modifiedAtMs ?? this.now();
      const replaced = this.entries.get(path);
      if (replaced) this.discardEntry(path, 'replaced');
      this.entries.set(path, {
        ...this.entryOf(path, 'file'),
        fileId: file.id,
        visibility,
        modifiedAtMs,
      });
      this.staged.delete(file.id);
      return { info: this.#infoOf(this.named(path) as NamedFile), isNew, repeated: false };
    });
  }

  discard(staged: readonly StagedFile[]): void {
    for (const { file } of staged) {
      this.staged.delete(file.id);
      this.contents.delete(file.id);
    }
  }

  async find(ref: FileRef): Promise<NamedFile | undefined> {
    if ('path' in ref) {
      if (this.entries.get(ref.path)?.kind === 'directory') {
        throw new StoreError('is-a-directory', `${ref.path} is a directory.`);
      }
      return this.named(ref.path);
    }
    const path = [...this.entries].find(([, entry]) => entry.fileId === ref.id)?.[0];
    return path === undefined ? undefined : this.named(path as FilePath);
  }

  async stat(ref: FileRef): Promise<FileInfo> {
    const named = await this.find(ref);
    if (!named) throw new StoreError('not-found', 'There is no such file.');
    return this.#infoOf(named);
  }

  async open(file: FileRecord, request: OpenRequest): Promise<OpenedFile> {
    if (this.faults.open) throw this.faults.open;
    request.signal.throwIfAborted();
    const kept = this.contents.get(file.id);
    if (!kept) throw new StoreError('unavailable', 'No copy can be reached.');
    const { start, end } = request.range ?? { start: 0, end: file.sizeBytes };
    const content = kept.bytes.subarray(start, end);
    const bytes = Readable.from(this.#chunksOf(content), {
      objectMode: false,
    });
    this.opened.push({ request, bytes });
    const isShort = content.byteLength <= shortBytes;
    return { nodeId: this.node.id, bytes, ...(isShort ? { content } : {}) };
  }

  async *#chunksOf(bytes: Buffer): AsyncGenerator<Buffer> {
    const { breakOff, stallAfterBytes } = this.faults;
    const chunkBytes = 64 * 1024;
    for (let offset = 0; offset < bytes.length; offset += chunkBytes) {
      const rest = bytes.subarray(offset, offset + chunkBytes);
      if (breakOff && offset + rest.length > breakOff.afterBytes) {
        yield rest.subarray(0, breakOff.afterBytes - offset);
        throw breakOff.error;
      }
      if (stallAfterBytes !== undefined && offset >= stallAfterBytes) {
        await new Promise(() => undefined);
      }
      yield rest;
    }
  }

  async locate(named: NamedFile): Promise<string | undefined> {
    const [blob] = named.file.blobs;
    return this.nodeUrl === undefined ? undefined : `${this.nodeUrl}/blobs/${blob?.blobId}`;
  }

  async touch(path: FilePath, { modifiedAtMs, create, signal }: TouchOptions) {
    const entry = this.entries.get(path);
    if (!entry && !create) throw this.nothingAt(path);
    const atMs = modifiedAtMs ?? this.now();
    if (entry) this.entries.set(path, { ...entry, modifiedAtMs: atMs });
    else await this.add(path, '', { modifiedAtMs: atMs, signal });
    return { isNew: entry === undefined };
  }

  async sources({ blobs }: FileRecord): Promise<ReadonlyMap<BlobId, readonly BlobSource[]>> {
    const source = { nodeId: this.node.id, url: 'http://127.0.0.1:1' };
    return new Map(blobs.map(({ blobId }) => [blobId, [source]]));
  }

  async replicas(ref: FileRef): Promise<readonly ReplicaInfo[]> {
    const { file } = await this.stat(ref);
    return file.blobs.map(({ blobId }, sequence) => ({
      node: this.node,
      role: 'primary',
      state: 'stored',
      path: `/data/${blobId}`,
      sequence,
    }));
  }

  // ── for tests ──

  /** Binds a file without any front. Gives its content's record. */
  async add(
    path: string,
    bytes: Uint8Array | string,
    more: Partial<PutRequest> = {},
  ): Promise<FileRecord> {
    const { info } = await this.put({
      path: path as FilePath,
      body: Readable.from([Buffer.from(bytes)]),
      onConflict: 'replace',
      signal: new AbortController().signal,
      ...more,
    });
    return info.file;
  }

  bytesAt(path: string): Buffer | undefined {
    const id = this.entries.get(path)?.fileId;
    return id && this.contents.get(id)?.bytes;
  }

  #infoOf = (named: NamedFile): FileInfo => ({
    ...named,
    primary: this.node,
    copies: { stored: 1, wanted: 3 },
  });
}

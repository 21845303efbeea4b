import { Readable } from 'node:stream';
import {
  alternativeName,
  baseNameOf,
  childOf,
  type EntryId,
  type FileId,
  type FilePath,
  type NodeId,
  namesOf,
  newBlobId,
  newNodeId,
  parentOf,
  rootPath,
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
import type {
  BindCondition,
  DirectoryPage,
  Entry,
  FileRecord,
  NamedFile,
  Visibility,
} from '../../metadata/metadata-repository.ts';

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
export class MemoryFileService implements FileService {
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
  readonly #entries = new Map<string, Entry>();
  readonly #files = new Map<FileId, { record: FileRecord; bytes: Buffer }>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
    this.#entries.set(rootPath, this.#entryOf(rootPath, 'directory'));
  }

  async put(request: PutRequest): Promise<PutOutcome> {
    const [outcome] = await this.bind([await this.stage(request)]);
    return outcome as PutOutcome;
  }

  async checkPut(request: Omit<PutRequest, 'body' | 'signal'>): Promise<void> {
    if (this.faults.put) throw this.faults.put;
    if ((request.sizeBytes ?? 0) > this.faults.roomBytes) {
      throw new StoreError('no-room', `No node has room for ${request.sizeBytes} bytes.`);
    }
    this.#checkName(request.path);
    this.#checkCondition(request.path, request);
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
      createdAtMs: this.#now(),
      blobs: [{ blobId, offsetBytes: 0, sizeBytes, md5 }],
    };
    this.#files.set(record.id, { record, bytes });
    this.staged.add(record.id);
    return { request: rest, file: record, placement: undefined };
  }

  async bind(staged: readonly StagedFile[]): Promise<readonly PutOutcome[]> {
    for (const { request } of staged) {
      this.#checkName(request.path);
      this.#checkCondition(request.path, request);
    }
    return staged.map(({ request, file }) => {
      const isTaken = this.#entries.has(request.path);
      if (isTaken && request.onConflict === 'fail') {
        throw new StoreError('precondition-failed', `${request.path} is taken.`);
      }
      const path =
        isTaken && request.onConflict === 'rename' ? this.#freeName(request.path) : request.path;
      this.#makeParents(path);
      const isNew = !this.#entries.has(path);
      const visibility = request.isPublic ? 'public' : 'inherit';
      this.#entries.set(path, { ...this.#entryOf(path, 'file'), fileId: file.id, visibility });
      this.staged.delete(file.id);
      return { info: this.#infoOf(this.#named(path) as NamedFile), isNew, repeated: false };
    });
  }

  discard(staged: readonly StagedFile[]): void {
    for (const { file } of staged) {
      this.staged.delete(file.id);
      this.#files.delete(file.id);
    }
  }

  async find(ref: FileRef): Promise<NamedFile | undefined> {
    if ('path' in ref) {
      if (this.#entries.get(ref.path)?.kind === 'directory') {
        throw new StoreError('is-a-directory', `${ref.path} is a directory.`);
      }
      return this.#named(ref.path);
    }
    const path = [...this.#entries].find(([, entry]) => entry.fileId === ref.id)?.[0];
    return path === undefined ? undefined : this.#named(path as FilePath);
  }

  async stat(ref: FileRef): Promise<FileInfo> {
    const named = await this.find(ref);
    if (!named) throw new StoreError('not-found', 'There is no such file.');
    return this.#infoOf(named);
  }

  async open(file: FileRecord, request: OpenRequest): Promise<OpenedFile> {
    if (this.faults.open) throw this.faults.open;
    request.signal.throwIfAborted();
    const kept = this.#files.get(file.id);
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

  async list(
    path: FilePath,
    { after = '', limit }: { after?: string; limit: number },
  ): Promise<DirectoryPage> {
    const directory = this.#entries.get(path);
    if (!directory) throw new StoreError('not-found', `There is no directory ${path}.`);
    if (directory.kind !== 'directory') {
      throw new StoreError('not-a-directory', `${path} is a file.`);
    }
    const all = [...this.#entries]
      .filter(([at]) => at !== rootPath && parentOf(at as FilePath) === path)
      .filter(([, { name }]) => Buffer.compare(Buffer.from(name), Buffer.from(after)) > 0)
      .sort(([, a], [, b]) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
    const entries = all.slice(0, limit).map(([at, entry]) => {
      const record = entry.fileId && this.#files.get(entry.fileId)?.record;
      const isPublic = this.#isPublic(at as FilePath);
      return { ...entry, isPublic, ...(record ? { file: record } : {}) };
    });
    const last = entries.at(-1);
    return { entries, ...(all.length > limit && last ? { next: last.name } : {}) };
  }

  async remove(path: FilePath, condition: BindCondition = {}): Promise<void> {
    const entry = this.#entries.get(path);
    if (!entry) throw new StoreError('not-found', `There is nothing at ${path}.`);
    this.#checkCondition(path, condition);
    if (entry.kind === 'directory' && (await this.list(path, { limit: 1 })).entries.length > 0) {
      throw new StoreError('conflict', `${path} is not empty.`, { hint: 'Empty it first.' });
    }
    this.#entries.delete(path);
  }

  async makeDirectory(path: FilePath): Promise<void> {
    this.#makeParents(path);
    if (!this.#entries.has(path)) this.#entries.set(path, this.#entryOf(path, 'directory'));
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

  findEntry(path: FilePath): Entry | undefined {
    return this.#entries.get(path);
  }

  setVisibility(path: FilePath, visibility: Visibility): void {
    const entry = this.#entries.get(path) as Entry;
    this.#entries.set(path, { ...entry, visibility });
  }

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
    const id = this.#entries.get(path)?.fileId;
    return id && this.#files.get(id)?.bytes;
  }

  // ── inside ──

  #named(path: FilePath): NamedFile | undefined {
    const entry = this.#entries.get(path);
    const file = entry?.fileId && this.#files.get(entry.fileId)?.record;
    return entry && file
      ? { path, entry, file, isPublic: this.#isPublic(path), copiesWanted: 3 }
      : undefined;
  }

  #infoOf = (named: NamedFile): FileInfo => ({
    ...named,
    primary: this.node,
    copies: { stored: 1, wanted: 3 },
  });

  #isPublic(path: FilePath): boolean {
    const visibility = this.#entries.get(path)?.visibility ?? 'inherit';
    if (visibility !== 'inherit') return visibility === 'public';
    return path !== rootPath && this.#isPublic(parentOf(path));
  }

  #checkName(path: FilePath): void {
    if (this.#entries.get(path)?.kind === 'directory') {
      throw new StoreError('is-a-directory', `${path} is a directory.`);
    }
    for (let above = parentOf(path); above !== rootPath; above = parentOf(above)) {
      if (this.#entries.get(above)?.kind === 'file') {
        throw new StoreError('not-a-directory', `${above} is a file.`);
      }
    }
  }

  #checkCondition(path: FilePath, { ifMatch, ifNoneMatch }: BindCondition): void {
    const md5 = this.#named(path)?.file.md5;
    const matches = (tags: '*' | readonly string[]) =>
      md5 !== undefined && (tags === '*' || tags.includes(md5));
    if ((ifMatch && !matches(ifMatch)) || (ifNoneMatch && matches(ifNoneMatch))) {
      throw new StoreError('precondition-failed', `${path} is not what the condition names.`);
    }
  }

  #freeName(path: FilePath): FilePath {
    for (let n = 1; ; n += 1) {
      const free = childOf(parentOf(path), alternativeName(baseNameOf(path), n));
      if (!this.#entries.has(free)) return free;
    }
  }

  #makeParents(path: FilePath): void {
    const names = namesOf(path).slice(0, -1);
    for (const depth of names.keys()) {
      const above = `/${names.slice(0, depth + 1).join('/')}` as FilePath;
      if (!this.#entries.has(above)) this.#entries.set(above, this.#entryOf(above, 'directory'));
    }
  }

  #entryOf(path: FilePath, kind: Entry['kind']): Entry {
    const id = newBlobId() as string as EntryId;
    const atMs = this.#now();
    return {
      id,
      parentId: id,
      name: baseNameOf(path),
      kind,
      createdAtMs: atMs,
      modifiedAtMs: atMs,
      visibility: 'inherit',
    };
  }
}

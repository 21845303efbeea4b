import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import {
  type BlobBody,
  type BlobId,
  type BlobPeer,
  type BlobReceipt,
  type BlobStore,
  type ByteRange,
  type Clock,
  type DamageReport,
  type DeleteOptions,
  type InventoryPage,
  lengthOf,
  type OpenedBlob,
  type OpenOptions,
  type PullRequest,
  type PutOptions,
  type StoredBlob,
  StoreError,
} from '@dfs/shared';
import { eachChunk } from './blob-body.ts';
import { blockCountOf, footerBytes } from './blob-format.ts';
import { readInventory } from './blob-inventory.ts';
import type { BlobTally } from './blob-tally.ts';
import { BlobWriter } from './blob-writer.ts';
import type { BlockBuffers } from './block-buffers.ts';
import type { DataDirectory } from './data-directory.ts';
import type { DropClock } from './drop-clock.ts';
import { JoinedPulls } from './joined-pulls.ts';
import { OpenBlob, OpenBlobs, openBlob, stateOf } from './open-blobs.ts';
import { codeOf, diskError, nameFile, renameFile, unlinkFile } from './raw-file.ts';
import type { Space } from './space.ts';
import { VerifiedReader, VerifiedStream } from './verified-reader.ts';
import { cancelled, type WriteTurn, WriteTurns } from './write-turns.ts';

const openBlobsMax = 256;
/** Bytes of one upload that are gathered before they are written, at most and at least. */
const batchMaxBytes = 2 ** 20;
const batchMinBytes = 64 * 1024;
/** All uploads together gather so much; twice that may be on its way to the disk. */
const batchesTotalBytes = 8 * 2 ** 20;
/** What the file system needs for a file beyond its bytes. */
const fileOverheadBytes = 8 * 1024;

export type Damage = DamageReport['damages'][number];

/**
 * Fetches a blob from another node: what it says of itself, and its bytes, which the caller reads
 * or destroys.
 */
export type FetchBlob = (
  request: PullRequest,
  signal: AbortSignal,
) => Promise<{ description: StoredBlob; bytes: Readable }>;

export interface DiskBlobStoreDependencies {
  readonly directory: DataDirectory;
  readonly space: Space;
  readonly tally: BlobTally;
  readonly buffers: BlockBuffers;
  readonly dropClock: DropClock;
  readonly clock: Clock;
  readonly fetchBlob: FetchBlob;
  /** A copy was found bad or gone. May be called again for the same one. */
  readonly onDamage: (damage: Damage) => void;
  /** What was reported bad was replaced or deleted. */
  readonly onMended: (id: BlobId) => void;
  /** A write became durable. */
  readonly onWrite: () => void;
  /** A blob has its place from now on. */
  readonly onStored?: (id: BlobId) => void;
}

/** A blob opened for sending: nothing is verified or read yet beyond the first piece of `range`. */
export interface BlobReading {
  readonly description: StoredBlob;
  /** Absent when no bytes were asked for. */
  readonly reader?: VerifiedReader;
  readonly range?: ByteRange;
}

/** What reading a blob to its last byte found. */
export type Verification =
  | { readonly kind: 'whole'; readonly sizeBytes: number }
  | { readonly kind: 'damaged' | 'gone' | 'cancelled' };

/** What is to be written, and by whose word it is judged. */
interface Incoming {
  readonly body: BlobBody;
  readonly sizeBytes: number | undefined;
  /** Judges what arrived: throws, or says what the file tells of itself. */
  readonly describe: (receipt: BlobReceipt) => StoredBlob;
}

/** What stands at a blob's place: a copy proved whole, or one that must be replaced. */
type Present =
  | { readonly kind: 'whole'; readonly description: StoredBlob }
  | { readonly kind: 'damaged'; readonly fileBytes: number };

/** Blobs as files of one disk: staged, verified, synced, renamed. */
export class DiskBlobStore implements BlobStore, BlobPeer {
  readonly #deps: DiskBlobStoreDependencies;
  readonly #blobs: OpenBlobs;
  readonly #turns = new WriteTurns();
  readonly #pulls = new JoinedPulls();
  #writerCount = 0;

  constructor(dependencies: DiskBlobStoreDependencies) {
    this.#deps = dependencies;
    this.#blobs = new OpenBlobs({
      directory: dependencies.directory,
      openMax: openBlobsMax,
      onVanished: (blobId) => {
        dependencies.onDamage({ blobId, kind: 'missing', detail: 'Its file is gone.' });
      },
    });
  }

  async put(id: BlobId, body: BlobBody, options: PutOptions): Promise<BlobReceipt> {
    if (body instanceof Readable) body.on('error', ignore);
    try {
      return await this.#turns.take(id, { signal: options.signal }, async (turn) => {
        if (body instanceof Readable) turn.whenCancelled((reason) => body.destroy(reason));
        const { sizeBytes } = options;
        const incoming = { body, sizeBytes, describe: this.#judgeOf(id, options) };
        const present = await this.#findPresent(id, turn);
        if (present?.kind === 'whole') return this.#compare(present.description, incoming);
        return this.#write(id, incoming, turn, present);
      });
    } finally {
      if (body instanceof Readable) body.destroy();
    }
  }

  async open(id: BlobId, { range, signal }: OpenOptions = {}): Promise<OpenedBlob> {
    if (signal?.aborted) throw cancelled(signal.reason);
    const { reader, range: chosen } = await this.#read(
      await this.#openOrReject(id),
      (description) => {
        const all = wholeRange(description);
        if (range && (range.start < 0 || range.end > all.end || range.end <= range.start)) {
          throw new StoreError(
            'range-not-satisfiable',
            `Bytes ${range.start} to ${range.end} are not all inside the blob of ${all.end} bytes.`,
          );
        }
        return range ?? all;
      },
    );
    if (!reader || !chosen) throw new Error('A range was chosen and no reader came.');
    const bytes = new VerifiedStream(reader);
    const stop = () => bytes.destroy(cancelled(signal?.reason));
    signal?.addEventListener('abort', stop, { once: true });
    bytes.once('close', () => signal?.removeEventListener('abort', stop));
    return { bytes, sizeBytes: lengthOf(chosen) };
  }

  /**
   * Opens a blob for a front that sends pieces and releases them. `choose` says which bytes by the
   * description: it may throw, or want none. Rejects as `open`.
   */
  async read(
    id: BlobId,
    choose: (description: StoredBlob) => ByteRange | undefined,
  ): Promise<BlobReading> {
    return this.#read(await this.#openOrReject(id), choose, this.#deps.buffers);
  }

  async describe(id: BlobId): Promise<StoredBlob | undefined> {
    const blob = await this.#openBlob(id);
    blob?.release();
    return blob?.description;
  }

  async delete(id: BlobId, { expiresAtMs }: DeleteOptions): Promise<void> {
    const { dropClock, directory, tally } = this.#deps;
    dropClock.mustBeBefore(expiresAtMs);
    this.#turns.cancel(id, new StoreError('cancelled', `The blob ${id} was dropped meanwhile.`));
    await this.#turns.take(id, { isCancellable: false }, async () => {
      const path = directory.blobPath(id);
      try {
        const fileBytes = await fileBytesOf(path);
        // Waiting for its turn took time.
        dropClock.mustBeBefore(expiresAtMs);
        this.#blobs.forget(id);
        if (fileBytes !== undefined) {
          const changed = tally.changing(id);
          try {
            await unlinkFile(path);
            tally.removed(id, fileBytes);
          } finally {
            changed();
          }
        }
        // Also when it was gone already: an earlier delete may not have got this far.
        await directory.syncFolderOf(id);
      } catch (error) {
        throw diskError(error, `deleting the blob ${id}`);
      }
      this.#deps.onWrite();
      this.#deps.onMended(id);
    });
  }

  pull(request: PullRequest, signal?: AbortSignal): Promise<BlobReceipt> {
    return this.#pulls.join(request, signal, (joined) =>
      this.#turns.take(request.blobId, { signal: joined }, async (turn) => {
        const present = await this.#findPresent(request.blobId, turn);
        if (present?.kind === 'whole') return this.#alreadyThere(present.description, request);
        return this.#fetch(request, turn, present);
      }),
    );
  }

  async inventory(after: string | undefined, limit: number): Promise<InventoryPage> {
    try {
      return await readInventory(this.#deps.directory, after, limit);
    } catch (error) {
      throw diskError(error, 'listing the blobs');
    }
  }

  /**
   * Reads a blob from the disk to its last byte and compares block CRCs and MD5. Damage is reported
   * as when a reader finds it. `onPiece` is told how long a piece took, ms, and is waited for before
   * the next one. Rejects only when the disk itself cannot be read.
   */
  async verify(
    id: BlobId,
    { signal, onPiece }: { signal: AbortSignal; onPiece?: (readMs: number) => Promise<void> },
  ): Promise<Verification> {
    try {
      // Not one of those kept open for readers, who would lose theirs to a pass over the whole disk.
      const blob = await openBlob(this.#deps.directory.blobPath(id), id).catch((error) => {
        if (error instanceof StoreError && error.kind === 'corrupt') this.#tellOf(id, error);
        throw error;
      });
      if (!blob) return { kind: 'gone' };
      return await this.#verifyOpen(blob, signal, onPiece);
    } catch (error) {
      if (!(error instanceof StoreError && error.kind === 'corrupt')) throw error;
      return { kind: 'damaged' };
    }
  }

  /** Lets go of the files that are kept open. */
  close(): void {
    this.#blobs.close();
  }

  /**
   * The judge of a put: what its sender promised must hold, and only then is it asked for the facts
   * of the whole file.
   */
  #judgeOf(id: BlobId, { description, expectedMd5, whole }: PutOptions) {
    return (receipt: BlobReceipt): StoredBlob => {
      if (expectedMd5 !== undefined && receipt.md5 !== expectedMd5) {
        throw new StoreError(
          'digest-mismatch',
          `The bytes have the MD5 ${receipt.md5}, not ${expectedMd5} as announced.`,
          { hint: 'They changed on the way: send them again.' },
        );
      }
      const facts = whole ? whole(receipt) : { blobCount: 1, ...receipt };
      const { whole: _, ...rest } = description;
      const stored = { ...rest, blobId: id, ...receipt, storedAtMs: this.#deps.clock.now() };
      return facts ? { ...stored, whole: facts } : stored;
    };
  }

  async #fetch(
    request: PullRequest,
    turn: WriteTurn,
    replaced: Present | undefined,
  ): Promise<BlobReceipt> {
    const { blobId, source, sizeBytes, md5 } = request;
    const controller = new AbortController();
    turn.whenCancelled((reason) => controller.abort(reason));
    const { description, bytes } = await this.#deps.fetchBlob(request, controller.signal);
    bytes.on('error', ignore);
    turn.whenCancelled((reason) => bytes.destroy(reason));
    const describe = (receipt: BlobReceipt): StoredBlob => {
      if (receipt.md5 === md5) return { ...description, storedAtMs: this.#deps.clock.now() };
      // The source checked its blocks and describes the right content: the bytes changed on their
      // way, and its copy must not be given up for that.
      throw new StoreError(
        'unavailable',
        `The bytes of the blob ${blobId} changed on their way from ${source.nodeId} (MD5 ${receipt.md5} instead of ${md5}).`,
      );
    };
    try {
      return await this.#write(blobId, { body: bytes, sizeBytes, describe }, turn, replaced);
    } catch (cause) {
      if (!(cause instanceof StoreError && cause.kind === 'incomplete-body')) throw cause;
      const message = `The source ${source.nodeId} broke off while it sent the blob ${blobId}.`;
      throw new StoreError('unavailable', message, { cause });
    } finally {
      bytes.destroy();
    }
  }

  async #alreadyThere(
    stored: StoredBlob,
    { blobId, sizeBytes, md5 }: PullRequest,
  ): Promise<BlobReceipt> {
    if (stored.sizeBytes !== sizeBytes || stored.md5 !== md5) throw otherBytes(blobId);
    // Its name may be younger than the last sync of its folder, if the process died in between.
    await this.#syncFolderOf(blobId);
    return { sizeBytes, md5 };
  }

  /** The blob is stored already: the same bytes again are a success, and nothing is written. */
  async #compare(
    stored: StoredBlob,
    { body, sizeBytes, describe }: Incoming,
  ): Promise<BlobReceipt> {
    const md5 = createHash('md5');
    let receivedBytes = 0;
    await eachChunk(body, sizeBytes, (bytes) => {
      md5.update(bytes);
      receivedBytes += bytes.byteLength;
    });
    const receipt = { sizeBytes: receivedBytes, md5: md5.digest('hex') };
    describe(receipt);
    if (stored.md5 !== receipt.md5 || stored.sizeBytes !== receivedBytes) {
      throw otherBytes(stored.blobId);
    }
    await this.#syncFolderOf(stored.blobId);
    return receipt;
  }

  async #write(
    id: BlobId,
    { body, sizeBytes, describe }: Incoming,
    turn: WriteTurn,
    replaced: Present | undefined,
  ): Promise<BlobReceipt> {
    const claimedBytes = sizeBytes === undefined ? 0 : roomFor(sizeBytes);
    const room = await this.#deps.space.claim(claimedBytes);
    const stagedPath = this.#deps.directory.stagedPath(id);
    const batchBytes = () => this.#batchBytes();
    const writer = new BlobWriter({ stagedPath, room, claimedBytes, batchBytes });
    this.#writerCount += 1;
    try {
      await eachChunk(body, sizeBytes, (bytes) => writer.append(bytes));
      turn.check();
      const staged = await writer.finish(describe(writer.receipt()));
      await this.#publish(id, stagedPath, staged.fileBytes, replaced);
      this.#blobs.keep(id, new OpenBlob(staged.fd, stateOf(staged.fd), staged.tail));
      return writer.receipt();
    } catch (error) {
      await writer.discard();
      throw diskError(error, `writing the blob ${id}`);
    } finally {
      this.#writerCount -= 1;
      room.release();
    }
  }

  /** Gives the staged file its name for good. The file itself is durable already. */
  async #publish(
    id: BlobId,
    stagedPath: string,
    fileBytes: number,
    replaced: Present | undefined,
  ): Promise<void> {
    const { directory, tally, onWrite, onStored, onMended } = this.#deps;
    this.#blobs.forget(id);
    const path = directory.blobPath(id);
    const changed = tally.changing(id);
    try {
      if (replaced) await renameFile(stagedPath, path);
      else nameFile(stagedPath, path);
      if (replaced?.kind === 'damaged') tally.removed(id, replaced.fileBytes);
      tally.added(id, fileBytes);
    } finally {
      changed();
    }
    await directory.syncFolderOf(id);
    onWrite();
    onStored?.(id);
    if (replaced) onMended(id);
  }

  /**
   * What is at the blob's place, read and proved to its last byte: a success that is answered from
   * it must be true.
   */
  async #findPresent(id: BlobId, turn: WriteTurn): Promise<Present | undefined> {
    if (this.#blobs.isAbsent(id)) return undefined;
    try {
      const blob = await this.#openBlob(id);
      if (!blob) return undefined;
      const { description, reader } = await this.#read(blob, wholeRange, this.#deps.buffers);
      try {
        for (let piece = await reader?.next(); piece; piece = await reader?.next()) {
          piece.release();
          turn.check();
        }
      } finally {
        reader?.close();
      }
      return { kind: 'whole', description };
    } catch (error) {
      if (!(error instanceof StoreError && error.kind === 'corrupt')) throw error;
      const fileBytes = await fileBytesOf(this.#deps.directory.blobPath(id));
      return { kind: 'damaged', fileBytes: fileBytes ?? 0 };
    }
  }

  /** Takes over the caller's hold of `blob`. */
  async #verifyOpen(
    blob: OpenBlob,
    signal: AbortSignal,
    onPiece: ((readMs: number) => Promise<void>) | undefined,
  ): Promise<Verification> {
    const { clock, buffers } = this.#deps;
    const { sizeBytes, md5, blobId } = blob.description;
    const hash = createHash('md5');
    let startedAtMs = clock.monotonic();
    const { reader } = await this.#read(blob, wholeRange, buffers);
    try {
      for (let piece = await reader?.next(); piece; piece = await reader?.next()) {
        hash.update(piece.bytes);
        piece.release();
        await onPiece?.(clock.monotonic() - startedAtMs);
        if (signal.aborted) return { kind: 'cancelled' };
        startedAtMs = clock.monotonic();
      }
    } finally {
      reader?.close();
    }
    if (hash.digest('hex') === md5) return { kind: 'whole', sizeBytes };
    const message = `This node's copy of the blob ${blobId} does not have the MD5 that it was stored with.`;
    this.#tellOf(blobId, new StoreError('corrupt', message));
    return { kind: 'damaged' };
  }

  #tellOf(blobId: BlobId, { message }: StoreError): void {
    this.#deps.onDamage({ blobId, kind: 'corrupt', detail: message });
  }

  /** Takes over the caller's hold of `blob`. */
  async #read(
    blob: OpenBlob,
    choose: (description: StoredBlob) => ByteRange | undefined,
    buffers?: BlockBuffers,
  ): Promise<BlobReading> {
    const { description } = blob;
    let reader: VerifiedReader | undefined;
    try {
      const range = choose(description);
      if (!range) return { description };
      blob.hold();
      reader = new VerifiedReader({
        blob,
        range,
        ...(buffers ? { buffers } : {}),
        onCorrupt: (blobId, { message }) => {
          this.#deps.onDamage({ blobId, kind: 'corrupt', detail: message });
        },
      });
      await reader.prepare();
      return { description, reader, range };
    } catch (error) {
      reader?.close();
      throw error;
    } finally {
      blob.release();
    }
  }

  async #openOrReject(id: BlobId): Promise<OpenBlob> {
    const blob = await this.#openBlob(id);
    if (blob) return blob;
    throw new StoreError('not-found', `This node has no blob ${id}.`);
  }

  async #openBlob(id: BlobId): Promise<OpenBlob | undefined> {
    try {
      return await this.#blobs.open(id);
    } catch (error) {
      if (error instanceof StoreError && error.kind === 'corrupt') {
        this.#deps.onDamage({ blobId: id, kind: 'corrupt', detail: error.message });
      }
      throw error;
    }
  }

  async #syncFolderOf(id: BlobId): Promise<void> {
    await this.#deps.directory.syncFolderOf(id).catch((error) => {
      throw diskError(error, `storing the blob ${id}`);
    });
  }

  /** Many uploads at a time gather less each. */
  #batchBytes(): number {
    const shareBytes = batchesTotalBytes / Math.max(1, this.#writerCount);
    return Math.max(batchMinBytes, Math.min(batchMaxBytes, shareBytes));
  }
}

const ignore = () => undefined;

const wholeRange = ({ sizeBytes }: StoredBlob): ByteRange => ({ start: 0, end: sizeBytes });

const otherBytes = (id: BlobId) =>
  new StoreError('conflict', `The blob ${id} is stored here with other bytes.`, {
    hint: 'A blob id serves one attempt: use a new one.',
  });

const roomFor = (sizeBytes: number) =>
  sizeBytes + 4 * blockCountOf(sizeBytes) + footerBytes + fileOverheadBytes;

async function fileBytesOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

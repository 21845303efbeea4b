import { join } from 'node:path';
import { StoreError } from '@dfs/shared';
import { syncDirectory } from '../data-directory.ts';
import {
  closeFile,
  makeFile,
  openFile,
  syncData,
  syncFile,
  truncateFile,
  unlinkFile,
  writeFully,
} from '../raw-file.ts';
import type { RoomClaim, Space } from '../space.ts';
import { JournalSegment, type SegmentName, segmentFileName } from './journal-segment.ts';
import { encodeSegmentLine } from './segment-lines.ts';

/** So much is gathered before it is written. */
const writeAtOnceBytes = 256 * 1024;

/** Records on their way into a segment: all of them become durable with `finish`, or none stays after `discard`. */
export class SegmentBatch {
  readonly segment: JournalSegment;
  readonly #fd: number;
  readonly #folder: string | undefined;
  readonly #room: RoomClaim;
  readonly #added: { readonly number: number; readonly sizeBytes: number }[] = [];
  #last: number;
  #position: number;
  #pending: Buffer[] = [];
  #pendingBytes = 0;

  private constructor(
    segment: JournalSegment,
    { fd, folder, room }: { fd: number; folder: string | undefined; room: RoomClaim },
  ) {
    this.segment = segment;
    this.#fd = fd;
    this.#folder = folder;
    this.#room = room;
    this.#last = segment.last;
    this.#position = segment.sizeBytes;
  }

  static async goOn(segment: JournalSegment, space: Space): Promise<SegmentBatch> {
    const room = await journalRoom(space);
    const fd = await openFile(segment.path, 'r+');
    return new SegmentBatch(segment, { fd, folder: undefined, room });
  }

  /** Begins a file in `folder`. */
  static async begin(folder: string, name: SegmentName, space: Space): Promise<SegmentBatch> {
    const segment = new JournalSegment(join(folder, segmentFileName(name)), name);
    const room = await journalRoom(space);
    return new SegmentBatch(segment, { fd: makeFile(segment.path), folder, room });
  }

  /** Rejects with `conflict` when the record does not follow the one before. */
  async add(record: { number: number; epoch: number }, line: Buffer): Promise<void> {
    if (record.epoch !== this.segment.epoch || record.number !== this.#last + 1) {
      throw new StoreError(
        'conflict',
        `The record ${record.number} of epoch ${record.epoch} does not follow ${this.#last} of epoch ${this.segment.epoch}: none was taken.`,
      );
    }
    const encoded = encodeSegmentLine(line);
    this.#added.push({ number: record.number, sizeBytes: encoded.byteLength });
    this.#last = record.number;
    this.#pending.push(encoded);
    this.#pendingBytes += encoded.byteLength;
    if (this.#pendingBytes >= writeAtOnceBytes) await this.#write();
  }

  async finish(): Promise<void> {
    await this.#write();
    if (this.#folder === undefined) {
      await syncData(this.#fd);
    } else {
      await syncFile(this.#fd);
      await syncDirectory(this.#folder);
    }
    this.segment.appended(this.#added);
    this.#room.release();
    await closeFile(this.#fd).catch(() => undefined);
  }

  /** Takes back what was written. False when that failed: the file must be looked at before it is used again. */
  async discard(): Promise<boolean> {
    this.#room.release();
    try {
      if (this.#folder === undefined) {
        await truncateFile(this.#fd, this.segment.sizeBytes);
        await syncData(this.#fd);
      } else {
        await unlinkFile(this.segment.path);
      }
      return true;
    } catch {
      return false;
    } finally {
      await closeFile(this.#fd).catch(() => undefined);
    }
  }

  async #write(): Promise<void> {
    const pending = this.#pending;
    const pendingBytes = this.#pendingBytes;
    if (pendingBytes === 0) return;
    this.#pending = [];
    this.#pendingBytes = 0;
    await this.#room.grow(pendingBytes);
    await writeFully(this.#fd, pending, this.#position);
    this.#room.wrote(pendingBytes);
    this.#position += pendingBytes;
  }
}

/** The journal may use what is kept back: without it, nothing could be deleted on a full disk either. */
const journalRoom = (space: Space) => space.claim(0, { isReserveOpen: true });

import { Readable } from 'node:stream';
import { gunzipSync } from 'node:zlib';
import { StoreError } from '../errors.ts';
import type { ClusterId } from '../ids.ts';
import type { JournalRecord, SnapshotEnd, SnapshotHead } from '../journal-format.ts';
import {
  type JournalKeeper,
  type JournalRun,
  type JournalStatus,
  type KeptSnapshot,
  parseJournalLine,
  type SnapshotBody,
  type SnapshotName,
} from '../journal-keeper.ts';
import { bytesOf, md5Of, testClusterId } from './blobs.ts';

const pageRecords = 500;

interface HeldSnapshot extends KeptSnapshot {
  readonly bytes: Buffer;
}

/** A keeper of the journal in memory. */
export class MemoryJournal implements JournalKeeper {
  /** By number; a number has the record of its newest epoch. */
  #records: { readonly number: number; readonly epoch: number; readonly line: string }[] = [];
  #snapshots: HeldSnapshot[] = [];
  readonly #damaged = new Set<number>();
  readonly #clusterId: ClusterId;
  /** Called before each request is answered; its rejection becomes the request's. */
  intercept: ((request: keyof JournalKeeper) => void | Promise<void>) | undefined;

  constructor({ clusterId = testClusterId }: { readonly clusterId?: ClusterId } = {}) {
    this.#clusterId = clusterId;
  }

  /** Numbers of all records that it holds. */
  get numbers(): number[] {
    return this.#records.map(({ number }) => number);
  }

  /** The snapshots that it holds, the newest first. */
  get snapshots(): readonly KeptSnapshot[] {
    return this.#snapshots;
  }

  /** As if the disk had failed where the record lies. */
  damage(number: number): void {
    this.#damaged.add(number);
  }

  async journalStatus(): Promise<JournalStatus> {
    await this.intercept?.('journalStatus');
    return {
      ...this.#position(),
      runs: this.#runs(),
      snapshots: this.#snapshots.map(({ bytes: _, ...kept }) => kept),
      sizeBytes: [...this.#records.map(({ line }) => line), ...this.#snapshots].reduce(
        (sum, each) => sum + (typeof each === 'string' ? each.length : each.sizeBytes),
        0,
      ),
    };
  }

  async appendRecords(lines: readonly string[]): Promise<{ readonly last: number }> {
    await this.intercept?.('appendRecords');
    const records = lines.map((line) => {
      const record = parseJournalLine(line);
      if (!record) throw new StoreError('invalid-request', 'This is no record of the journal.');
      return { ...record, line };
    });
    const [first] = records;
    if (!first) throw new StoreError('invalid-request', 'There is no record to take.');
    const { epoch, last } = this.#position();
    if (first.epoch < epoch) throw new StoreError('stale-epoch', `This is epoch ${epoch}.`);
    const covered = this.#snapshots[0]?.from ?? 0;
    const goesOn =
      first.epoch === epoch
        ? first.number === last + 1
        : first.number <= last + 1 && first.number > covered;
    const isChain = records.every(
      ({ number, epoch: its }, at) => its === first.epoch && number === first.number + at,
    );
    if (!goesOn || !isChain) throw new StoreError('conflict', `The last number is ${last}.`);
    this.#records = [...this.#records.filter(({ number }) => number < first.number), ...records];
    this.#removeCovered();
    return { last: records.at(-1)?.number ?? last };
  }

  async readRecords(after: number): Promise<readonly JournalRecord[]> {
    await this.intercept?.('readRecords');
    const run = this.#runs().find(({ first, last }) => first <= after + 1 && after + 1 <= last);
    if (run) {
      return this.#records
        .filter(({ number }) => number > after && number <= run.last)
        .slice(0, pageRecords)
        .map(({ line }) => JSON.parse(line) as JournalRecord);
    }
    if (after < this.#position().last) {
      throw new StoreError('corrupt', `The record ${after + 1} is damaged or missing.`);
    }
    return [];
  }

  async putSnapshot(name: SnapshotName, body: Readable): Promise<KeptSnapshot> {
    await this.intercept?.('putSnapshot');
    const bytes = await bytesOf(body).catch((cause: unknown) => {
      throw new StoreError('incomplete-body', 'The snapshot broke off.', { cause });
    });
    const { epoch } = this.#position();
    if (name.epoch < epoch) throw new StoreError('stale-epoch', `This is epoch ${epoch}.`);
    const [newest] = this.#snapshots;
    if (newest?.epoch === name.epoch && newest.from > name.from) {
      throw new StoreError('conflict', 'A newer snapshot is kept.');
    }
    const to = this.#endOf(bytes, name);
    const kept = {
      ...name,
      to,
      sizeBytes: bytes.byteLength,
      md5: md5Of(bytes),
      storedAtMs: Date.now(),
    };
    const others = this.#snapshots.filter(
      (each) => each.epoch !== name.epoch || each.from !== name.from,
    );
    this.#snapshots = [{ ...kept, bytes }, ...others];
    this.#removeCovered();
    return kept;
  }

  async openSnapshot({ epoch, from }: SnapshotName): Promise<SnapshotBody> {
    await this.intercept?.('openSnapshot');
    const held = this.#snapshots.find((each) => each.epoch === epoch && each.from === from);
    if (!held) throw new StoreError('not-found', `No snapshot ${epoch}-${from}.`);
    return { bytes: Readable.from([held.bytes]), sizeBytes: held.sizeBytes };
  }

  #endOf(bytes: Buffer, name: SnapshotName): number {
    const lines = this.#plain(bytes).split('\n');
    const head = partOf<SnapshotHead>(lines[0])?.snapshot;
    if (head && head.clusterId !== this.#clusterId)
      throw new StoreError('wrong-cluster', 'It is of another cluster.');
    if (head?.epoch !== name.epoch || head.from !== name.from)
      throw new StoreError('invalid-request', 'It is no such snapshot.');
    const end = partOf<SnapshotEnd>(lines.at(-2))?.end;
    if (!end) throw new StoreError('incomplete-body', 'It has no last line.');
    if (end.from !== name.from || end.to < end.from || end.images !== lines.length - 3)
      throw new StoreError('invalid-request', 'Its last line does not fit.');
    return end.to;
  }

  #plain(bytes: Buffer): string {
    try {
      return gunzipSync(bytes).toString();
    } catch (cause) {
      const isShort = (cause as NodeJS.ErrnoException).code === 'Z_BUF_ERROR';
      throw new StoreError(isShort ? 'incomplete-body' : 'invalid-request', 'No whole gzip.', {
        cause,
      });
    }
  }

  #position(): { epoch: number; last: number } {
    const record = this.#records.at(-1);
    const [snapshot] = this.#snapshots;
    const ofSnapshot = snapshot && { epoch: snapshot.epoch, last: snapshot.from };
    const ofRecords = record && { epoch: record.epoch, last: record.number };
    if (!ofSnapshot) return ofRecords ?? { epoch: 0, last: 0 };
    if (!ofRecords || ofSnapshot.epoch > ofRecords.epoch) return ofSnapshot;
    return ofSnapshot.epoch === ofRecords.epoch && ofSnapshot.last > ofRecords.last
      ? ofSnapshot
      : ofRecords;
  }

  #runs(): JournalRun[] {
    const runs: JournalRun[] = [];
    for (const { number, epoch } of this.#records) {
      if (this.#damaged.has(number)) continue;
      const run = runs.at(-1);
      if (run?.epoch === epoch && run.last + 1 === number)
        runs.splice(-1, 1, { ...run, last: number });
      else runs.push({ epoch, first: number, last: number });
    }
    return runs;
  }

  #removeCovered(): void {
    const runs = this.#runs();
    const base = this.#snapshots.find(
      ({ epoch, from, to }) =>
        to <= from ||
        runs.some((run) => run.epoch === epoch && run.first <= from + 1 && run.last >= to),
    );
    this.#snapshots = this.#snapshots.filter((each, at) => at === 0 || each === base);
    if (!base) return;
    this.#records = this.#records.filter(
      ({ epoch, number }) => epoch > base.epoch || (epoch === base.epoch && number > base.from),
    );
  }
}

function partOf<Line>(line: string | undefined): Partial<Line> | undefined {
  try {
    return JSON.parse(line ?? '') as Partial<Line>;
  } catch {
    return undefined;
  }
}

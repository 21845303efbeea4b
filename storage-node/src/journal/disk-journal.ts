import { createHash } from 'node:crypto';
import { readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type ClusterId, type JournalRecord, StoreError } from '@dfs/shared';
import {
  type JournalKeeper,
  type JournalRun,
  type JournalStatus,
  journalLimits,
  type KeptSnapshot,
  type Logger,
  parseJournalLine,
  type SnapshotBody,
  type SnapshotName,
} from '@dfs/shared/cluster';
import { syncDirectory } from '../data-directory.ts';
import { codeOf, diskError, unlinkFile } from '../raw-file.ts';
import type { Space } from '../space.ts';
import { bySegmentOrder, JournalSegment, parseSegmentFileName } from './journal-segment.ts';
import {
  bySnapshotAge,
  nameSnapshot,
  readSnapshotFile,
  snapshotBytes,
  snapshotFileName,
  stageSnapshot,
} from './kept-snapshots.ts';
import { LineSplitter } from './line-splitter.ts';
import { coveredBy, effectiveRuns, type Position, positionOf } from './retention.ts';
import { SegmentBatch } from './segment-batch.ts';

/** A segment that reached this size is followed by another one. */
const segmentMaxBytes = 8 * 2 ** 20;

export interface DiskJournalDependencies {
  /** The folder of the journal, and that of what is being received; on one file system. */
  readonly path: string;
  readonly stagingPath: string;
  readonly space: Space;
  readonly clusterId: () => ClusterId | undefined;
  readonly logger: Logger;
  readonly segmentMaxBytes?: number;
}

export interface AppendOptions {
  /** Of all bytes, lower-case hex. */
  readonly expectedMd5?: string | undefined;
}

/**
 * A node's copy of the journal: records in segments, which are only ever appended to, and snapshots. A record of a newer epoch begins a segment of its own, and what
 * older ones hold from its number on is left out when they are read.
 */
export class DiskJournal implements JournalKeeper {
  readonly #deps: DiskJournalDependencies;
  readonly #segmentMaxBytes: number;
  /** In the order in which they were begun; the last one is appended to. */
  #segments: JournalSegment[] = [];
  /** The newest first. */
  #snapshots: KeptSnapshot[] = [];
  #loaded: Promise<void> | undefined;
  /** One change after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  #receiving: { readonly cancel: () => void; readonly ended: Promise<void> } | undefined;
  #mustBeginSegment = false;
  #staged = 0;

  constructor(dependencies: DiskJournalDependencies) {
    this.#deps = dependencies;
    this.#segmentMaxBytes = dependencies.segmentMaxBytes ?? segmentMaxBytes;
  }

  async journalStatus(): Promise<JournalStatus> {
    await this.#load();
    const { epoch, last } = this.#position();
    return {
      epoch,
      last,
      runs: effectiveRuns(this.#segments),
      snapshots: [...this.#snapshots],
      sizeBytes: [...this.#segments, ...this.#snapshots].reduce(
        (sum, { sizeBytes }) => sum + sizeBytes,
        0,
      ),
    };
  }

  appendRecords(lines: readonly string[]): Promise<{ readonly last: number }> {
    return this.append(Readable.from(lines.map((line) => Buffer.from(`${line}\n`))), {});
  }

  /** Takes records as they come, with the memory of the longest one. Promises what `appendRecords` does. */
  append(
    body: AsyncIterable<Buffer>,
    { expectedMd5 }: AppendOptions,
  ): Promise<{ readonly last: number }> {
    return this.#inTurn(async () => {
      let batch: SegmentBatch | undefined;
      try {
        const splitter = new LineSplitter(journalLimits.recordMaxBytes);
        const hash = createHash('md5');
        for await (const bytes of body) {
          hash.update(bytes);
          for (const line of splitter.push(bytes)) {
            const record = recordOf(line);
            batch ??= await this.#begin(record);
            await batch.add(record, line);
          }
        }
        if (splitter.restBytes > 0) throw brokenOff();
        if (!batch) throw new StoreError('invalid-request', 'There is no record to take.');
        mustMatch(expectedMd5, hash.digest('hex'));
        await batch.finish();
      } catch (error) {
        if (batch && !(await batch.discard())) this.#loaded = undefined;
        throw diskError(error, 'appending to the journal');
      }
      const { segment } = batch;
      if (!this.#segments.includes(segment)) this.#segments.push(segment);
      await this.#removeCovered();
      return { last: segment.last };
    });
  }

  async readRecords(after: number): Promise<readonly JournalRecord[]> {
    const lines = await this.readLines(after);
    return lines.map((line) => JSON.parse(line.toString()) as JournalRecord);
  }

  /** As `readRecords`, as the bytes of lines without their ends. */
  async readLines(after: number): Promise<readonly Buffer[]> {
    await this.#load();
    const first = after + 1;
    const runs = effectiveRuns(this.#segments);
    const run = runs.find((each) => each.first <= first && first <= each.last);
    if (!run) {
      const next = runs.find((each) => each.first > first)?.first;
      if (next !== undefined || first <= this.#position().last) throw notThere(first, next);
      return [];
    }
    const segment = this.#segments.findLast(
      (each) => each.epoch === run.epoch && each.first <= first,
    );
    try {
      const lines = (await segment?.read({ first, through: run.last })) ?? [];
      if (lines.length > 0) return lines;
    } catch (error) {
      // A snapshot came that covers it.
      if (segment && !this.#segments.includes(segment)) return this.readLines(after);
      throw diskError(error, 'reading the journal');
    }
    // It was whole when it was looked at last.
    await this.#inTurn(() => this.#rescan(segment));
    throw notThere(first, undefined);
  }

  putSnapshot(
    name: SnapshotName,
    bytes: Readable,
    signal?: AbortSignal,
    expectedMd5?: () => string,
  ): Promise<KeptSnapshot> {
    bytes.on('error', ignore);
    return this.#receive(name, bytes, signal, expectedMd5).finally(() => bytes.destroy());
  }

  async openSnapshot(
    name: SnapshotName,
  ): Promise<SnapshotBody & { readonly snapshot: KeptSnapshot }> {
    await this.#load();
    const snapshot = this.#snapshots.find(isNamed(name));
    if (!snapshot) {
      throw new StoreError('not-found', `No snapshot ${name.epoch}-${name.from} is kept here.`);
    }
    const bytes = snapshotBytes(this.#pathOf(snapshot), snapshot, () => this.#setAside(snapshot));
    return { bytes, sizeBytes: snapshot.sizeBytes, snapshot };
  }

  /** Number of the newest record or snapshot of this epoch, as far as the disk was read; 0: none. */
  numberIn(epoch: number): number {
    const position = this.#position();
    return position.epoch === epoch ? position.last : 0;
  }

  /** Reads everything again, with a pause between pieces: what turns out to be damaged is known from then on. */
  async verify({
    signal,
    pause,
  }: {
    readonly signal: AbortSignal;
    readonly pause: () => Promise<void>;
  }): Promise<void> {
    await this.#load();
    for (const segment of [...this.#segments]) {
      if (signal.aborted) return;
      await this.#inTurn(() => this.#rescan(segment));
      await pause();
    }
    for (const snapshot of [...this.#snapshots]) {
      try {
        const { bytes } = await this.openSnapshot(snapshot);
        for await (const _ of bytes) {
          if (signal.aborted) return;
          await pause();
        }
      } catch {
        // A damaged one was told of and set aside; one that is gone was superseded.
      }
    }
  }

  /** Begins to read what the disk holds, so that it is known soon. */
  open(): void {
    this.#load().catch((error: unknown) => {
      this.#deps.logger.error('the journal on this disk cannot be read', { error });
    });
  }

  /** Resolves when what was begun has ended. */
  async close(): Promise<void> {
    await this.#turn;
    await this.#loaded?.catch(ignore);
  }

  /** Reads what the disk holds; once, and again after a failure that left it unknown. */
  #load(): Promise<void> {
    this.#loaded ??= this.#read().catch((error: unknown) => {
      this.#loaded = undefined;
      throw diskError(error, 'reading the journal');
    });
    return this.#loaded;
  }

  async #read(): Promise<void> {
    const { path, logger } = this.#deps;
    const names = await readdir(path);
    const segments = names
      .flatMap((fileName) => {
        const name = parseSegmentFileName(fileName);
        return name ? [new JournalSegment(join(path, fileName), name)] : [];
      })
      .sort(bySegmentOrder);
    let newest = segments.at(-1);
    await newest?.scan({ isNewest: true });
    while (newest && newest.runs.length === 0) {
      // Begun, and nothing in it was acknowledged.
      await newest.remove();
      segments.pop();
      newest = segments.at(-1);
      await newest?.scan({ isNewest: true });
    }
    for (const segment of segments) {
      if (segment !== newest) await segment.scan({ isNewest: false });
      if (segment.runs.length > 1) tellOfDamage(logger, segment);
    }
    const snapshots = await Promise.all(names.map((name) => readSnapshotFile(path, name)));
    this.#segments = segments;
    this.#snapshots = snapshots.filter((each) => each !== undefined).sort(bySnapshotAge);
    await this.#removeCovered();
  }

  #position(): Position {
    return positionOf(this.#segments, this.#snapshots);
  }

  /** Judges the first record of a batch and opens the segment that takes it. */
  async #begin(record: { number: number; epoch: number }): Promise<SegmentBatch> {
    const { epoch, last } = this.#position();
    mustBeCurrent(record.epoch, epoch);
    const covered = this.#snapshots[0]?.from ?? 0;
    const goesOn =
      record.epoch === epoch
        ? record.number === last + 1
        : record.number <= last + 1 && record.number > covered;
    if (!goesOn) {
      throw new StoreError(
        'conflict',
        `The journal of this node ends with number ${last} of epoch ${epoch}: number ${record.number} of epoch ${record.epoch} does not go on from there.`,
        { hint: 'Send the records that are missing, or a snapshot.' },
      );
    }
    const { path, space } = this.#deps;
    const newest = this.#segments.at(-1);
    const isFull = newest && newest.sizeBytes >= this.#segmentMaxBytes;
    if (
      newest?.epoch === record.epoch &&
      newest.last + 1 === record.number &&
      !isFull &&
      !this.#mustBeginSegment
    ) {
      return SegmentBatch.goOn(newest, space);
    }
    const batch = await SegmentBatch.begin(
      path,
      { epoch: record.epoch, first: record.number },
      space,
    );
    this.#mustBeginSegment = false;
    return batch;
  }

  async #receive(
    name: SnapshotName,
    bytes: Readable,
    signal: AbortSignal | undefined,
    expectedMd5: (() => string) | undefined,
  ): Promise<KeptSnapshot> {
    await this.#load();
    this.#mustBeNewer(name);
    const controller = new AbortController();
    // Whoever sends another one has given the first one up.
    const before = this.#receiving;
    before?.cancel();
    const received = (before?.ended ?? Promise.resolve()).then(() =>
      this.#stage(name, bytes, expectedMd5, anyOf(controller.signal, signal)),
    );
    const receiving = { cancel: () => controller.abort(), ended: received.then(ignore, ignore) };
    this.#receiving = receiving;
    try {
      return await received;
    } finally {
      if (this.#receiving === receiving) this.#receiving = undefined;
    }
  }

  async #stage(
    name: SnapshotName,
    bytes: Readable,
    expectedMd5: (() => string) | undefined,
    signal: AbortSignal,
  ): Promise<KeptSnapshot> {
    this.#staged += 1;
    const stagedPath = join(this.#deps.stagingPath, `journal-snapshot.${this.#staged}`);
    const { space } = this.#deps;
    const snapshot = await stageSnapshot({
      name,
      clusterId: this.#deps.clusterId(),
      bytes,
      expectedMd5,
      stagedPath,
      space,
      signal,
    });
    await this.#inTurn(() => this.#keep(snapshot, stagedPath));
    return snapshot;
  }

  async #keep(snapshot: KeptSnapshot, stagedPath: string): Promise<void> {
    try {
      // Waiting for its turn took time.
      this.#mustBeNewer(snapshot);
      await nameSnapshot(stagedPath, this.#pathOf(snapshot));
      await syncDirectory(this.#deps.path);
    } catch (error) {
      await unlinkFile(stagedPath).catch(ignore);
      throw diskError(error, 'storing a snapshot of the journal');
    }
    const replaced = this.#snapshots.find(isNamed(snapshot));
    this.#snapshots = [snapshot, ...this.#snapshots.filter((each) => each !== replaced)];
    this.#snapshots.sort(bySnapshotAge);
    if (replaced && replaced.md5 !== snapshot.md5) {
      await unlinkFile(this.#pathOf(replaced)).catch(ignore);
    }
    await this.#removeDamaged();
    // So that the next snapshot lets the records go that this one does not cover.
    this.#mustBeginSegment = true;
    await this.#removeCovered();
  }

  #mustBeNewer(name: SnapshotName): void {
    mustBeCurrent(name.epoch, this.#position().epoch);
    const newest = this.#snapshots[0];
    if (!newest || newest.epoch < name.epoch || newest.from <= name.from) return;
    throw new StoreError(
      'conflict',
      `The snapshot ${newest.epoch}-${newest.from} is kept here: ${name.epoch}-${name.from} is older.`,
    );
  }

  /** What stays for want of a deletion goes with the next one. */
  async #removeCovered(): Promise<void> {
    const { segments, snapshots } = coveredBy(this.#segments, this.#snapshots);
    if (segments.length + snapshots.length === 0) return;
    try {
      for (const segment of segments) {
        await segment.remove();
        this.#segments = this.#segments.filter((each) => each !== segment);
      }
      for (const snapshot of snapshots) {
        await unlinkFile(this.#pathOf(snapshot)).catch(absent);
        this.#snapshots = this.#snapshots.filter((each) => each !== snapshot);
      }
    } catch (error) {
      this.#deps.logger.warn('could not delete what a snapshot covers', { error });
    }
  }

  /** Bytes that were kept for a person, until there was a whole snapshot again. */
  async #removeDamaged(): Promise<void> {
    const { path } = this.#deps;
    const names = await readdir(path).catch(() => []);
    for (const name of names.filter((each) => each.endsWith(damagedSuffix))) {
      await unlinkFile(join(path, name)).catch(ignore);
    }
  }

  async #rescan(segment: JournalSegment | undefined): Promise<void> {
    if (!segment || !this.#segments.includes(segment)) return;
    const before = segment.runs;
    await segment.scan({ isNewest: false });
    const isAsBefore =
      before.length === segment.runs.length && before.at(-1)?.last === segment.last;
    if (!isAsBefore) tellOfDamage(this.#deps.logger, segment);
  }

  /** Nobody is to be promised a damaged snapshot; its bytes stay for a person until the next one comes. */
  #setAside(snapshot: KeptSnapshot): void {
    const path = this.#pathOf(snapshot);
    this.#deps.logger.error('a snapshot of the journal is damaged', { path });
    this.#snapshots = this.#snapshots.filter((each) => each !== snapshot);
    void this.#inTurn(async () => {
      const wasReplaced = this.#snapshots.some((each) => this.#pathOf(each) === path);
      if (!wasReplaced) await rename(path, `${path}${damagedSuffix}`);
    }).catch(ignore);
  }

  #pathOf(snapshot: KeptSnapshot): string {
    return join(this.#deps.path, snapshotFileName(snapshot));
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(async () => {
      await this.#load();
      return work();
    });
    this.#turn = result.catch(ignore);
    return result;
  }
}

const damagedSuffix = '.damaged';

const anyOf = (own: AbortSignal, given: AbortSignal | undefined) =>
  given ? AbortSignal.any([own, given]) : own;

function recordOf(line: Buffer): { number: number; epoch: number } {
  const record = parseJournalLine(line.toString('latin1'));
  if (record) return record;
  throw new StoreError('invalid-request', 'This is no record of the journal.', {
    hint: 'Run the same version of dfs everywhere.',
  });
}

function mustMatch(expected: string | undefined, md5: string): void {
  if (expected === undefined || expected === md5) return;
  throw new StoreError('digest-mismatch', `The records arrived with MD5 ${md5}, not ${expected}.`);
}

function mustBeCurrent(epoch: number, known: number): void {
  if (epoch >= known) return;
  throw new StoreError(
    'stale-epoch',
    `The journal of this node is of epoch ${known}; this is of epoch ${epoch}.`,
    {
      hint: 'The master works on an old copy of its database: stop it, and run the current one.',
    },
  );
}

const notThere = (number: number, next: number | undefined) =>
  new StoreError(
    'corrupt',
    `The record ${number} of the journal is damaged or missing here${next === undefined ? '' : `; the next one is ${next}`}.`,
  );

const brokenOff = () =>
  new StoreError('incomplete-body', 'The records broke off in the middle of one.');

function tellOfDamage(
  logger: Logger,
  { path, runs }: { path: string; runs: readonly JournalRun[] },
) {
  logger.error('records of the journal are damaged', {
    path,
    whole: runs.map(({ first, last }) => `${first}-${last}`).join(', '),
  });
}

const isNamed =
  ({ epoch, from }: SnapshotName) =>
  (other: SnapshotName) =>
    other.epoch === epoch && other.from === from;

function absent(error: unknown): undefined {
  if (codeOf(error) !== 'ENOENT') throw error;
  return undefined;
}

function ignore(): undefined {}

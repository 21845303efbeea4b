import {
  type FilePath,
  type NodeId,
  parseFilePath,
  type RestoreReport,
  StoreError,
} from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { NodeStore } from '../cluster/node-directory.ts';
import type { BindRequest, MetadataRepository } from '../metadata/metadata-repository.ts';
import { restoredName } from '../metadata/restore/mend.ts';
import type { FoundBlob, FoundFile } from '../metadata/restore/restore-types.ts';
import { orderContents } from './choose-content.ts';
import { judgeFound } from './judge-found.ts';
import { verifies } from './verify-content.ts';

export interface PlacedFound {
  readonly found: Listed<string>;
  readonly contested: Listed<string>;
  readonly doubtful: Listed<RestoreReport['doubtful']['files'][number]>;
  unknownBlobs: number;
}

const listedMax = 1_000;

/** How many there were, and the first of them. */
export class Listed<Item> {
  count = 0;
  readonly items: Item[] = [];

  add(item: Item): void {
    this.count += 1;
    if (this.items.length < listedMax) this.items.push(item);
  }
}

export interface PlaceFoundOptions {
  readonly metadata: Pick<
    MetadataRepository,
    'bindFiles' | 'moveEntry' | 'removeEntry' | 'findFile' | 'restore'
  >;
  readonly storeOf: (nodeId: NodeId) => Pick<NodeStore, 'open'> | undefined;
  /** Of the last journal record found; undefined without a journal. */
  readonly lastRecordAtMs: number | undefined;
  /** Until when what is not chosen can be brought back. */
  readonly trashUntilMs: number;
  readonly logger: Logger;
  readonly tell: (files: number) => void;
}

const filesAtOnce = 500;

/**
 * Gives names to what the journal does not know: files that say they are newer than it, each where it was written. Of several contents of one path the newest that
 * verifies gets it, the others go to the trash; what is doubtful goes below `/.restored/`. Everything is journaled.
 */
export async function placeFound(options: PlaceFoundOptions): Promise<PlacedFound> {
  const placed: PlacedFound = {
    found: new Listed(),
    contested: new Listed(),
    doubtful: new Listed(),
    unknownBlobs: 0,
  };
  await judgeAll(options, placed);
  const batch = new FoundBatch(options, placed);
  for (let key: string | undefined; ; ) {
    const group = await options.metadata.restore.foundAtNextPath(key);
    if (!group) break;
    key = group.key;
    await placeGroup(options, placed, batch, group.files);
  }
  await batch.flush();
  await removeIfEmpty(options);
  return placed;
}

/** Contents that take each other's place pass through it. */
async function removeIfEmpty({ metadata }: PlaceFoundOptions): Promise<void> {
  const path = parseFilePath(`/${restoredName}`);
  await metadata.removeEntry(path, { expect: 'empty-directory' }).catch((error: unknown) => {
    if (!(error instanceof StoreError) || !refusals.has(error.kind)) throw error;
  });
}

async function judgeAll(
  { metadata, lastRecordAtMs }: PlaceFoundOptions,
  placed: PlacedFound,
): Promise<void> {
  for (let after: FoundFile['file']['id'] | undefined; ; ) {
    const copies = await metadata.restore.foundBlobs({
      ...(after === undefined ? {} : { after }),
      limit: filesAtOnce,
    });
    const last = copies.at(-1);
    if (!last) return;
    after = last.fileId;
    const kept: FoundFile[] = [];
    for (const ofFile of byFile(copies)) {
      const verdict = judgeFound(ofFile, lastRecordAtMs);
      if (verdict.kind === 'file') kept.push(verdict.found);
      else if (verdict.kind === 'pieces') kept.push(...verdict.found);
      else placed.unknownBlobs += new Set(ofFile.map((copy) => copy.blobId)).size;
    }
    await metadata.restore.keepFound(kept);
  }
}

/** Copies of one file stand together. */
function byFile(copies: readonly FoundBlob[]): FoundBlob[][] {
  const files: FoundBlob[][] = [];
  for (const copy of copies) {
    const last = files.at(-1);
    if (last?.[0]?.fileId === copy.fileId) last.push(copy);
    else files.push([copy]);
  }
  return files;
}

async function placeGroup(
  options: PlaceFoundOptions,
  placed: PlacedFound,
  batch: FoundBatch,
  files: readonly FoundFile[],
): Promise<void> {
  const doubtful = files.filter((found) => found.doubt !== undefined);
  for (const found of doubtful) await batch.putAside(found, found.doubt as string);
  const sure = orderContents(files.filter((found) => found.doubt === undefined));
  const [only] = sure;
  if (!only) return;
  const path = parseFilePath(only.path);
  const existing = await options.metadata.findFile(path).catch(() => undefined);
  if (sure.length === 1 && !existing) return batch.put(only, path);
  await batch.flush();
  await decideContest(options, placed, batch, path, sure, existing !== undefined);
}

/** Several contents of one path: what the journal has there is older than all that it does not know. */
async function decideContest(
  options: PlaceFoundOptions,
  placed: PlacedFound,
  batch: FoundBatch,
  path: FilePath,
  contents: readonly FoundFile[],
  isInJournal: boolean,
): Promise<void> {
  const unread: FoundFile[] = [];
  let winner: FoundFile | undefined;
  const others: FoundFile[] = [];
  for (const content of contents) {
    if (winner) others.push(content);
    else if (await verifies(content, options.storeOf)) winner = content;
    else unread.push(content);
  }
  for (const content of unread) {
    await batch.putAside(
      content,
      'another content has its path, and no copy of it could be read whole',
    );
  }
  if (!winner) return;
  if (others.length > 0 || isInJournal) placed.contested.add(path);
  try {
    // The last one that takes the path keeps it; each sends the one before to the trash.
    for (const content of [...others.reverse(), winner]) {
      await batch.replace(content, path, options.trashUntilMs);
    }
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    await batch.putAside(winner, error.message);
  }
}

/** Binds files many at a time. */
class FoundBatch {
  readonly #options: PlaceFoundOptions;
  readonly #placed: PlacedFound;
  #waiting: { found: FoundFile; path: FilePath }[] = [];

  constructor(options: PlaceFoundOptions, placed: PlacedFound) {
    this.#options = options;
    this.#placed = placed;
  }

  async put(found: FoundFile, path: FilePath): Promise<void> {
    this.#waiting.push({ found, path });
    if (this.#waiting.length >= filesAtOnce) await this.flush();
  }

  async flush(): Promise<void> {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    // One by one to the repository, which commits them together: one that is refused does not keep the others from their names.
    const outcomes = await Promise.allSettled(
      waiting.map(({ found, path }) => this.#bind(found, path, 'fail')),
    );
    for (const [index, outcome] of outcomes.entries()) {
      const { found, path } = waiting[index] as { found: FoundFile; path: FilePath };
      if (outcome.status === 'fulfilled') this.#placed.found.add(path);
      else await this.putAside(found, messageOf(outcome.reason));
    }
    this.#options.tell(waiting.length);
  }

  /** Gives it the path of another content, which goes to the trash. */
  async replace(found: FoundFile, path: FilePath, trashUntilMs: number): Promise<void> {
    const existing = await this.#options.metadata.findFile(path);
    if (!existing) await this.#bind(found, path, 'fail');
    else {
      const from = parseFilePath(`/${restoredName}/${found.file.id}`);
      await this.#bind(found, from, 'replace');
      await this.#options.metadata.moveEntry({ from, to: path, overwrite: true, trashUntilMs });
    }
    this.#placed.found.add(path);
    this.#options.tell(1);
  }

  /** Puts it below `/.restored/`, at the path it names, or under its id where that cannot be. */
  async putAside(found: FoundFile, why: string): Promise<void> {
    const places = [`/${restoredName}${found.path}`, `/${restoredName}/${found.file.id}`];
    for (const place of places) {
      try {
        const { named } = await this.#bind(found, parseFilePath(place), 'rename');
        this.#placed.doubtful.add({ path: named.path, why });
        return;
      } catch (error) {
        if (!(error instanceof StoreError) || !refusals.has(error.kind)) throw error;
        this.#options.logger.warn('a file that was found gets no name', { place, error });
      }
    }
    this.#placed.doubtful.add({ path: found.path, why: `${why}; it could not be given a name` });
  }

  async #bind(found: FoundFile, path: FilePath, onConflict: BindRequest['onConflict']) {
    const [outcome] = await this.#options.metadata.bindFiles([
      bindRequestOf(found, { path, onConflict }),
    ]);
    if (!outcome) throw new StoreError('internal', `Nothing was bound at ${path}.`);
    return outcome;
  }
}

const refusals: ReadonlySet<string> = new Set([
  'invalid-path',
  'not-found',
  'conflict',
  'not-a-directory',
  'is-a-directory',
  'precondition-failed',
]);

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

function bindRequestOf(
  { file, holders }: FoundFile,
  { path, onConflict }: Pick<BindRequest, 'path' | 'onConflict'>,
): BindRequest {
  const { blobs, ...content } = file;
  return {
    path,
    onConflict,
    file: content,
    ...(file.createdAtMs > 0 ? { modifiedAtMs: file.createdAtMs } : {}),
    blobs: blobs.map((blob, place) => {
      const [primary, ...storedOn] = holders[place] as [NodeId, ...NodeId[]];
      return { ...blob, primary, storedOn, wantedOn: [] };
    }),
  };
}

import { createGunzip } from 'node:zlib';
import { type NodeId, newNodeId, type RowImage, StoreError, systemClock } from '@dfs/shared';
import { type JournalKeeper, journalRecordsOf } from '@dfs/shared/cluster';
import { bytesOf, MemoryJournal, recordingLogger, temporaryDirectory } from '@dfs/shared/testing';
import type { NodeSnapshot } from '../../cluster/node-directory.ts';
import type { MetadataRepository } from '../../metadata/metadata-repository.ts';
import { openMetadataRepository } from '../../metadata/open-metadata-repository.ts';
import { makeNode } from '../../replication/test-fixtures.ts';
import { type JournalNodes, JournalShipper, type ShipperLimits } from '../journal-shipper.ts';

/** A node of the test: a keeper in memory, and whether it answers. */
export class TestKeeper {
  readonly id: NodeId;
  readonly journal: MemoryJournal;
  readonly zone: string | undefined;
  isUp = true;
  /** Requests so far, by name. */
  readonly requests: (keyof JournalKeeper)[] = [];
  /** The longest body of records so far, in bytes. */
  longestAppendBytes = 0;

  constructor(journal: MemoryJournal, zone: string | undefined) {
    this.id = newNodeId();
    this.journal = journal;
    this.zone = zone;
    journal.intercept = (request) => {
      this.requests.push(request);
      if (!this.isUp) throw new StoreError('unavailable', 'The node gave no answer.');
    };
    const append = journal.appendRecords.bind(journal);
    journal.appendRecords = (lines) => {
      const bytes = lines.reduce((sum, line) => sum + Buffer.byteLength(line), 0);
      this.longestAppendBytes = Math.max(this.longestAppendBytes, bytes);
      return append(lines);
    };
  }

  countOf(request: keyof JournalKeeper): number {
    return this.requests.filter((each) => each === request).length;
  }
}

type ChangeListener = Parameters<JournalNodes['onChange']>[0];

/** The real shipper over a real database, with keepers in memory. */
export class TestShipping {
  readonly keepers: TestKeeper[] = [];
  readonly #listeners = new Set<ChangeListener>();
  readonly lines = recordingLogger();
  readonly #folder: Awaited<ReturnType<typeof temporaryDirectory>>;
  metadata: MetadataRepository;
  shipper: JournalShipper | undefined;
  recovery: string | undefined;

  private constructor(
    folder: Awaited<ReturnType<typeof temporaryDirectory>>,
    metadata: MetadataRepository,
  ) {
    this.#folder = folder;
    this.metadata = metadata;
  }

  static async open(zones: readonly (string | undefined)[]): Promise<TestShipping> {
    const folder = await temporaryDirectory();
    const shipping = new TestShipping(folder, await openDatabase(folder.path));
    for (const zone of zones) shipping.addKeeper(zone);
    return shipping;
  }

  addKeeper(zone?: string): TestKeeper {
    const { clusterId } = this.metadata.identity();
    const keeper = new TestKeeper(new MemoryJournal({ clusterId }), zone);
    this.keepers.push(keeper);
    this.tell(keeper);
    return keeper;
  }

  /** The directory says that something of this node has changed. */
  tell({ id, isUp }: TestKeeper): void {
    for (const listener of this.#listeners)
      listener({ id, state: isUp ? 'up' : 'down', isNew: false });
  }

  down(keeper: TestKeeper): void {
    keeper.isUp = false;
    this.tell(keeper);
  }

  up(keeper: TestKeeper): void {
    keeper.isUp = true;
    this.tell(keeper);
  }

  start(limits: Partial<ShipperLimits> = {}): JournalShipper {
    this.shipper = new JournalShipper({
      metadata: this.metadata,
      nodes: this.#nodes(),
      clock: systemClock,
      logger: this.lines.logger,
      limits: { gatherMs: 5, everyMs: 20, ...limits },
    });
    this.shipper.start();
    return this.shipper;
  }

  /** As a master that is started anew. */
  async restart(limits: Partial<ShipperLimits> = {}): Promise<JournalShipper> {
    await this.shipper?.stop();
    await this.metadata.close();
    this.metadata = await openDatabase(this.#folder.path);
    return this.start(limits);
  }

  /** Who keeps the journal at the moment. */
  chosen(): TestKeeper[] {
    const ids = this.shipper?.state().keepers.map(({ id }) => id) ?? [];
    return ids.map((id) => this.keepers.find((keeper) => keeper.id === id) as TestKeeper);
  }

  /** Whether each of them has every change. */
  isAllShipped(): boolean {
    const { number = 0, keepers = [] } = this.shipper?.state() ?? {};
    return keepers.length > 0 && keepers.every(({ last }) => last === number);
  }

  async close(): Promise<void> {
    await this.shipper?.stop();
    await this.metadata.close();
    await this.#folder.remove();
  }

  #nodes(): JournalNodes {
    return {
      snapshots: () => this.keepers.map(snapshotOf),
      find: (id) => {
        const keeper = this.keepers.find((each) => each.id === id);
        return keeper && snapshotOf(keeper);
      },
      journalOf: (id) => {
        const keeper = this.keepers.find((each) => each.id === id);
        if (keeper) return keeper.journal;
        throw new StoreError('unavailable', 'No such node.');
      },
      recovery: () => this.recovery,
      isConfirmed: () => true,
      onChange: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
    };
  }
}

const openDatabase = (folder: string) =>
  openMetadataRepository({ sqliteFile: `${folder}/metadata.db`, clock: systemClock, copies: 1 });

const snapshotOf = ({ id, isUp, zone }: TestKeeper): NodeSnapshot =>
  makeNode({ id, state: isUp ? 'up' : 'down', ...(zone === undefined ? {} : { zone }) });

/** Rows by table and key, as a snapshot and the records after it tell them. */
export type RebuiltRows = Map<string, object>;

/** What the database would be if this keeper alone were left. */
export async function rebuildFrom(keeper: JournalKeeper): Promise<RebuiltRows> {
  const rows: RebuiltRows = new Map();
  const apply = ({ table, key, row }: Pick<RowImage, 'table' | 'key' | 'row'>) => {
    const name = `${table} ${JSON.stringify(key)}`;
    if (row) rows.set(name, row);
    else rows.delete(name);
  };
  const { snapshots, last } = await keeper.journalStatus();
  const base = snapshots.find(({ to }) => to <= last);
  if (base) {
    const { bytes } = await keeper.openSnapshot(base);
    const text = await bytesOf(bytes.pipe(createGunzip()));
    for (const line of text.toString().trimEnd().split('\n').slice(1, -1)) {
      apply(JSON.parse(line) as RowImage);
    }
  }
  for await (const { images } of journalRecordsOf(keeper, { after: base?.from ?? 0 })) {
    for (const image of images) apply(image);
  }
  return rows;
}

/** The rows of the database, as `rebuildFrom` gives them. */
export async function rowsOf(metadata: MetadataRepository): Promise<RebuiltRows> {
  const rows: RebuiltRows = new Map();
  for await (const piece of metadata.snapshot({ isConsistent: true })) {
    for (const line of piece.trimEnd().split('\n')) {
      const { table, key, row } = JSON.parse(line) as Partial<RowImage>;
      if (row) rows.set(`${table} ${JSON.stringify(key)}`, row);
    }
  }
  return rows;
}

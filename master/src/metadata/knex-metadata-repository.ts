import {
  type BlobId,
  type Clock,
  type EntryId,
  type FileId,
  type FilePath,
  type JournalRecord,
  type NodeId,
  type ReplicationAttempt,
  StoreError,
} from '@dfs/shared';
import { heedConfiguredCopies, sweepCopies } from './copies-sweep.ts';
import type { Database } from './database.ts';
import { decideBind } from './decisions/bind.ts';
import {
  decideDeferral,
  decideDropped,
  decideForgetting,
  decideRelease,
  type ReleaseQuery,
} from './decisions/collection.ts';
import {
  type Damage,
  decideCopyChanges,
  decideDamage,
  decideReplications,
} from './decisions/copies.ts';
import { decideCopies } from './decisions/copies-wanted.ts';
import { decideDirectory } from './decisions/directories.ts';
import { decideTouch } from './decisions/touch.ts';
import { GroupCommit, type GroupCommitParts } from './group-commit.ts';
import { compareInventory } from './inventory-comparison.ts';
import { type JournalLine, journalExtent, journalLines, pruneJournal } from './journal-rows.ts';
import { MetadataCaches } from './metadata-caches.ts';
import type {
  BindOutcome,
  BindRequest,
  BlobCopies,
  BlobCopiesPage,
  ClusterIdentity,
  CopyChange,
  DirectoryPage,
  Entry,
  InventoryComparison,
  InventoryFindings,
  LogEntry,
  MadeDirectory,
  MetadataRepository,
  NamedEntry,
  NamedFile,
  NodeRecord,
  Replica,
  StoreCounts,
  Visibility,
} from './metadata-repository.ts';
import { purge } from './purge.ts';
import { CopiesReader } from './reads/copies-reader.ts';
import { OverviewReader } from './reads/overview-reader.ts';
import { listTrash, type TrashQuery } from './reads/trash-reader.ts';
import { TreeReader } from './reads/tree-reader.ts';
import { usageOfEntry } from './reads/usage-reader.ts';
import { KnexMetadataRestore } from './restore/knex-metadata-restore.ts';
import type { MetadataRestore, RestoreKind } from './restore/restore-types.ts';
import type { AccessKeyRecord, AddressGrant, GrantsPage, LinkRevocation } from './rights.ts';
import { RightsStore } from './rights-store.ts';
import { readJournal } from './snapshot/journal-reader.ts';
import { consistentSnapshot, fuzzySnapshot } from './snapshot/snapshot-writer.ts';
import type {
  CollectedTrash,
  MoveOutcome,
  MoveRequest,
  RemoveRequest,
  RestoreOutcome,
  RestoreRequest,
  TrashPage,
  TrashToEmpty,
  Usage,
} from './tree-changes.ts';
import { TreeCopy } from './tree-copy.ts';
import { TreeWrites } from './tree-writes.ts';
import type { CopyOutcome, CopyRequest, SweptCopies, WalkedEntry } from './working-tree.ts';

export interface KnexMetadataRepositoryParts {
  readonly database: Database;
  readonly identity: ClusterIdentity;
  /** A restore of this kind began and did not end. */
  readonly unfinishedRestore: RestoreKind | undefined;
  readonly clock: Clock;
  readonly logger?: NonNullable<GroupCommitParts['logger']>;
  /** How many copies are wanted where no directory and no file says a number. */
  readonly configuredCopies: number;
  /** About how many names, contents and copies of blobs are kept in memory, each. */
  readonly cacheSize: number;
  /** Called last when it closes. */
  readonly release: () => Promise<void>;
}

const changesMax = 1_000;
const copiesMax = 16;

/** The one `MetadataRepository`, on SQLite and on PostgreSQL: writes go through the group commit, reads through caches and the read pool. */
export class KnexMetadataRepository implements MetadataRepository {
  readonly #parts: KnexMetadataRepositoryParts;
  readonly #writes: GroupCommit;
  readonly #changes: TreeWrites;
  readonly #tree: TreeReader;
  readonly #copies: CopiesReader;
  readonly #overview: OverviewReader;
  readonly #rights: RightsStore;
  readonly restore: MetadataRestore;
  readonly #journalListeners = new Set<(number: number) => void>();
  #identity: ClusterIdentity;
  #closing: Promise<void> | undefined;

  constructor(parts: KnexMetadataRepositoryParts) {
    const { database, clock, logger, configuredCopies } = parts;
    const caches = new MetadataCaches(parts.cacheSize);
    this.#parts = parts;
    this.#identity = parts.identity;
    this.#writes = new GroupCommit({
      database,
      clock,
      ...(logger === undefined ? {} : { logger }),
      caches,
      configuredCopies,
      onJournal: (number) => {
        for (const listener of this.#journalListeners) listener(number);
      },
    });
    this.#changes = new TreeWrites(database, this.#writes);
    this.#tree = new TreeReader({ database, caches, configuredCopies });
    this.#copies = new CopiesReader(database, caches);
    this.#overview = new OverviewReader(database);
    this.#rights = new RightsStore(database, this.#writes);
    this.restore = new KnexMetadataRestore({
      database,
      writes: this.#writes,
      clock,
      unfinished: parts.unfinishedRestore,
      adopted: (identity) => {
        this.#identity = identity;
      },
    });
  }

  /** Reads where the journal stands. Called once, before anything else. */
  async start(): Promise<void> {
    const { database, clock, configuredCopies } = this.#parts;
    await database.write((sql) => heedConfiguredCopies(sql, configuredCopies, clock.now()));
    await this.#writes.submit({ rows: 1, decide: () => undefined });
    // Nothing is written to half a database but by the restore that makes it whole.
    if (this.restore.unfinished !== undefined) await this.#writes.suspend();
  }

  identity(): ClusterIdentity {
    return this.#identity;
  }

  journalNumber(): number {
    return this.#writes.journalNumber;
  }

  isEmpty(): Promise<boolean> {
    return this.#overview.isEmpty();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#writes.close();
    await this.#parts.database.close();
    await this.#parts.release();
  }

  findEntry(path: FilePath): Promise<Entry | undefined> {
    return this.#tree.findEntry(path);
  }

  findNamed(path: FilePath): Promise<NamedEntry | undefined> {
    return this.#tree.findNamed(path);
  }

  findFile(path: FilePath): Promise<NamedFile | undefined> {
    return this.#tree.findFile(path);
  }

  findFileById(id: FileId): Promise<NamedFile | undefined> {
    return this.#tree.findFileById(id);
  }

  listDirectory(path: FilePath, page: { after?: string; limit: number }): Promise<DirectoryPage> {
    return this.#tree.listDirectory(path, page);
  }

  replicasOf(blobIds: readonly BlobId[]): Promise<ReadonlyMap<BlobId, readonly Replica[]>> {
    return this.#copies.replicasOf(blobIds);
  }

  bindFiles(requests: readonly BindRequest[]): Promise<readonly BindOutcome[]> {
    return this.#writes.submit({
      rows: requests.length,
      decide: (draft) => decideBind(draft, requests),
    });
  }

  walkTree(path: FilePath, options?: { after?: FilePath }): AsyncIterable<readonly WalkedEntry[]> {
    return this.#tree.walk(path, options);
  }

  touchEntry(path: FilePath, modifiedAtMs: number): Promise<Entry | undefined> {
    return this.#writes.submit({
      rows: 1,
      decide: (draft) => decideTouch(draft, path, modifiedAtMs),
    });
  }

  copiesFor(path: FilePath): Promise<number> {
    return this.#tree.copiesFor(path);
  }

  async setCopies(path: FilePath, copies: number | null): Promise<Entry> {
    if (copies !== null && !(Number.isInteger(copies) && copies >= 1 && copies <= copiesMax)) {
      throw new StoreError('invalid-request', 'The number of copies is none.', {
        hint: `Give a whole number from 1 to ${copiesMax}.`,
      });
    }
    return this.#writes.submit({ rows: 1, decide: (draft) => decideCopies(draft, path, copies) });
  }

  sweepCopies(limit: number): Promise<SweptCopies> {
    return sweepCopies(this.#writes, this.#parts.configuredCopies, limit);
  }

  copyEntry(request: CopyRequest): Promise<CopyOutcome> {
    return new TreeCopy(this.#parts.database, this.#writes, request).run();
  }

  findRepeated(key: string, path: FilePath): Promise<BindOutcome | undefined> {
    return this.#tree.findRepeated(key, path, this.#parts.clock.now());
  }

  makeDirectory(
    path: FilePath,
    { parents = true }: { readonly parents?: boolean } = {},
  ): Promise<MadeDirectory> {
    return this.#writes.submit({
      rows: 1,
      decide: (draft) => decideDirectory(draft, path, { parents }),
    });
  }

  moveEntry(request: MoveRequest): Promise<MoveOutcome> {
    return this.#changes.moveEntry(request);
  }

  removeEntry(path: FilePath, request: RemoveRequest = {}): Promise<void> {
    return this.#changes.removeEntry(path, request);
  }

  listTrash(query: TrashQuery): Promise<TrashPage> {
    return listTrash(this.#parts.database, query);
  }

  restoreTrashed(id: EntryId, request: RestoreRequest): Promise<RestoreOutcome> {
    return this.#changes.restoreTrashed(id, request);
  }

  emptyTrash(query: TrashToEmpty): Promise<number> {
    return this.#changes.emptyTrash(query);
  }

  expireOldestTrash(bytes: number): Promise<{ items: number; bytes: number }> {
    return this.#changes.expireOldestTrash(bytes);
  }

  collectTrash(query: { nowMs: number; limit: number }): Promise<CollectedTrash> {
    return this.#changes.collectTrash(query);
  }

  foldSizes(limit: number): Promise<number> {
    return this.#changes.foldSizes(limit);
  }

  async usageOf(path: FilePath): Promise<Usage> {
    const entry = await this.findEntry(path);
    const usage = entry && (await usageOfEntry(this.#parts.database, entry.id));
    if (!usage) throw new StoreError('not-found', `There is nothing at ${path}.`);
    return usage;
  }

  async renewUploads(blobIds: readonly BlobId[], expiresAtMs: number): Promise<void> {
    await this.#writes.submit({
      rows: blobIds.length,
      decide: (draft) => {
        for (const id of blobIds) draft.uploads.set(id, Math.round(expiresAtMs));
      },
    });
  }

  async endUploads(blobIds: readonly BlobId[]): Promise<void> {
    await this.#writes.submit({
      rows: blobIds.length,
      decide: (draft) => {
        draft.each(blobIds, (id) => {
          if (draft.uploads.get(id) !== null) draft.uploads.set(id, null);
        });
      },
    });
  }

  async recordReplications(
    attempts: readonly ReplicationAttempt[],
    retryAtMs: (attempt: ReplicationAttempt, attempts: number) => number,
  ): Promise<void> {
    await this.#writes.submit({
      rows: attempts.length,
      decide: (draft) => decideReplications(draft, attempts, retryAtMs),
    });
  }

  async recordDamage(nodeId: NodeId, damages: readonly Damage[], nowMs: number): Promise<void> {
    await this.#writes.submit({
      rows: damages.length,
      decide: (draft) => decideDamage(draft, nodeId, damages, nowMs),
    });
  }

  dueReplications(
    query: Parameters<MetadataRepository['dueReplications']>[0],
  ): Promise<readonly { target: NodeId; blob: BlobCopies }[]> {
    return this.#copies.dueReplications(query);
  }

  blobsWithoutCopy(page: { after?: BlobId; limit: number }): Promise<BlobCopiesPage> {
    return this.#copies.blobsWithoutCopy(page);
  }

  blobsShortOfCopies(page: { after?: BlobId; limit: number }): Promise<BlobCopiesPage> {
    return this.#copies.blobsShortOfCopies(page);
  }

  blobsOnNode(nodeId: NodeId, page: { after?: string; limit: number }): Promise<BlobCopiesPage> {
    return this.#copies.blobsOnNode(nodeId, page);
  }

  async changeCopies(changes: readonly CopyChange[], nowMs: number): Promise<number> {
    if (changes.length > changesMax) {
      throw new StoreError('invalid-request', `More than ${changesMax} changes of copies at once.`);
    }
    return this.#writes.submit({
      rows: changes.length,
      decide: (draft) => decideCopyChanges(draft, changes, nowMs),
    });
  }

  compareInventory(comparison: InventoryComparison): Promise<InventoryFindings> {
    return compareInventory(this.#writes, this.#identity, comparison);
  }

  releaseUnreferenced(query: ReleaseQuery): Promise<number> {
    let candidates: BlobId[] = [];
    return this.#writes.submit({
      rows: query.limit,
      prepare: async (sql) => {
        const rows = await sql.rows<{ id: BlobId }>(
          `select id from blobs where unreferenced_since is not null and released = 0 and unreferenced_since < ?
           and not exists (select 1 from uploads where blob_id = blobs.id and expires_at >= ?)
           order by unreferenced_since limit ?`,
          [query.beforeMs, query.nowMs, query.limit + query.held.size],
        );
        candidates = rows.map((row) => row.id);
      },
      decide: (draft) => decideRelease(draft, candidates, query),
    });
  }

  dueDrops(query: Parameters<MetadataRepository['dueDrops']>[0]): Promise<readonly Replica[]> {
    return this.#copies.dueDrops(query);
  }

  async confirmDropped(
    dropped: readonly { blobId: BlobId; nodeId: NodeId }[],
    nowMs: number,
  ): Promise<void> {
    await this.#writes.submit({
      rows: dropped.length,
      decide: (draft) => decideDropped(draft, dropped, nowMs),
    });
  }

  async deferDrops(drops: Parameters<MetadataRepository['deferDrops']>[0]): Promise<void> {
    await this.#writes.submit({
      rows: drops.length,
      decide: (draft) => decideDeferral(draft, drops),
    });
  }

  listNodes(): Promise<readonly NodeRecord[]> {
    return this.#overview.listNodes();
  }

  noteLostNodes(nodes: ReadonlySet<NodeId>): void {
    this.#writes.lostNodes = nodes;
  }

  copiesOn(nodeId: NodeId): Promise<number> {
    return this.#copies.copiesOn(nodeId);
  }

  lastCopiesOn(
    nodes: readonly NodeId[],
    others: readonly NodeId[],
  ): Promise<{ readonly blobs: number; readonly bytes: number }> {
    return this.#copies.lastCopiesOn(nodes, others);
  }

  copiesToMove(
    nodes: readonly NodeId[],
  ): Promise<{ readonly copies: number; readonly bytes: number }> {
    return this.#copies.copiesToMove(nodes);
  }

  forgetCopiesOn(nodeId: NodeId, limit: number): Promise<number> {
    let blobIds: BlobId[] = [];
    const rows = Math.min(changesMax, limit);
    return this.#writes.submit({
      rows,
      prepare: async (sql) => {
        const found = await sql.rows<{ blob_id: BlobId }>(
          'select blob_id from replicas where node_id = ? order by inventory_key limit ?',
          [nodeId, rows],
        );
        blobIds = found.map((row) => row.blob_id);
      },
      decide: (draft) => decideForgetting(draft, nodeId, blobIds, draft.nowMs),
    });
  }

  async saveNode(node: NodeRecord): Promise<void> {
    await this.#writes.submit({ rows: 1, decide: (draft) => draft.nodes.set(node.id, node) });
  }

  listLog(query: Parameters<MetadataRepository['listLog']>[0]): Promise<readonly LogEntry[]> {
    return this.#overview.listLog(query);
  }

  counts(): Promise<StoreCounts> {
    return this.#overview.counts();
  }

  async journalRecords(after: number, limit: number): Promise<readonly JournalRecord[]> {
    const { epoch } = this.#identity;
    return readJournal(this.#parts.database, { after, limit, epoch });
  }

  onJournal(listener: (number: number) => void): () => void {
    this.#journalListeners.add(listener);
    return () => this.#journalListeners.delete(listener);
  }

  journalLines(after: number, maxBytes: number): Promise<readonly JournalLine[]> {
    const { epoch } = this.#identity;
    return journalLines(this.#parts.database, { after, maxBytes, epoch });
  }

  journalExtent(): Promise<{ readonly first: number; readonly last: number } | undefined> {
    return journalExtent(this.#parts.database);
  }

  pruneJournal(through: number): Promise<number> {
    return pruneJournal(this.#writes, through);
  }

  snapshot({ isConsistent }: { readonly isConsistent: boolean }): AsyncIterable<string> {
    const { database, clock } = this.#parts;
    const identity = this.#identity;
    const write = isConsistent ? consistentSnapshot : fuzzySnapshot;
    return write({ database, identity, nowMs: () => clock.now() });
  }

  addAccessKey(key: AccessKeyRecord): Promise<void> {
    return this.#rights.addAccessKey(key);
  }

  resealAccessKeys(secrets: ReadonlyMap<string, string>): Promise<void> {
    return this.#rights.resealAccessKeys(secrets);
  }

  removeAccessKey(id: string): Promise<boolean> {
    return this.#rights.removeAccessKey(id);
  }

  listAccessKeys(): Promise<readonly AccessKeyRecord[]> {
    return this.#rights.listAccessKeys();
  }

  addGrant(grant: AddressGrant): Promise<void> {
    return this.#rights.addGrant(grant);
  }

  removeGrants(query: { readonly fileId: FileId; readonly network?: string }): Promise<number> {
    return this.#rights.removeGrants(query);
  }

  grantsOf(fileId: FileId, nowMs: number): Promise<readonly AddressGrant[]> {
    return this.#rights.grantsOf(fileId, nowMs);
  }

  listGrants(page: Parameters<MetadataRepository['listGrants']>[0]): Promise<GrantsPage> {
    return this.#rights.listGrants(page);
  }

  addRevocation(revocation: LinkRevocation): Promise<void> {
    return this.#rights.addRevocation(revocation);
  }

  revocationsOf(subjects: readonly string[]): Promise<readonly LinkRevocation[]> {
    return this.#rights.revocationsOf(subjects);
  }

  purgeRights(beforeMs: number): Promise<number> {
    return this.#rights.purgeRights(beforeMs);
  }

  setVisibility(path: FilePath, visibility: Visibility): Promise<Entry> {
    return this.#rights.setVisibility(path, visibility);
  }

  purge(before: Parameters<MetadataRepository['purge']>[0]): Promise<number> {
    return purge(this.#writes, before);
  }
}

import type {
  BlobId,
  ClusterId,
  EntryId,
  FileId,
  FilePath,
  NodeId,
  NodeState,
  ReplicationAttempt,
  StoredBlob,
} from '@dfs/shared';
import type { JournalSource } from './journal-source.ts';
import type { MetadataRestore } from './restore/restore-types.ts';
import type { Rights } from './rights.ts';
import type { TrashTime, TreeChanges } from './tree-changes.ts';
import type { WorkingTree } from './working-tree.ts';

export type EntryKind = 'file' | 'directory';
export type Visibility = 'inherit' | 'public' | 'private';

/** One row of the tree. */
export interface Entry {
  readonly id: EntryId;
  readonly parentId: EntryId;
  readonly name: string;
  readonly kind: EntryKind;
  readonly fileId?: FileId;
  readonly createdAtMs: number;
  readonly modifiedAtMs: number;
  readonly visibility: Visibility;
  /** Copies wanted of what is here or below, where it was set; absent: as the directory above has it. */
  readonly copies?: number;
}

/** Why and until when an entry is in the trash. */
export interface TrashRecord {
  readonly entryId: EntryId;
  /** Where it was. */
  readonly path: string;
  readonly removedAtMs: number;
  readonly expiresAtMs: number;
  readonly reason: 'deleted' | 'replaced';
  /** Not shown and not to be brought back: it is being collected, or was not published yet. */
  readonly isHidden: boolean;
}

/** A run of a file's bytes: the blob that holds it and where it begins in the file. */
export interface FileBlob {
  readonly blobId: BlobId;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  readonly md5: string;
}

/** An immutable content. */
export interface FileRecord {
  readonly id: FileId;
  readonly sizeBytes: number;
  /** Lower-case hex, of the whole. */
  readonly md5: string;
  readonly contentType: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly createdAtMs: number;
  /** In order of offset; at least one (an empty file has one empty blob). */
  readonly blobs: readonly FileBlob[];
}

/** A name and what it is bound to. `isPublic` and `copiesWanted` have inheritance from the directories above worked in. */
export interface NamedEntry {
  readonly path: FilePath;
  readonly entry: Entry;
  readonly isPublic: boolean;
  readonly copiesWanted: number;
}

export interface NamedFile extends NamedEntry {
  readonly file: FileRecord;
}

export interface ListedEntry extends Entry {
  /** Only on files. */
  readonly file?: Pick<FileRecord, 'id' | 'sizeBytes' | 'md5' | 'contentType'>;
  readonly isPublic: boolean;
}

export interface DirectoryPage {
  /** By the bytes of the name. */
  readonly entries: readonly ListedEntry[];
  /** The name to give as `after` for the next page; absent at the end. */
  readonly next?: string;
}

export type ReplicaRole = 'primary' | 'replica';
/** wanted: to be made · stored: durable there · corrupt: bad, to be made anew in place · dropping: to be deleted there. */
export type ReplicaState = 'wanted' | 'stored' | 'corrupt' | 'dropping';

export interface Replica {
  readonly blobId: BlobId;
  readonly nodeId: NodeId;
  readonly role: ReplicaRole;
  readonly state: ReplicaState;
  readonly attempts: number;
  readonly lastError?: string;
  /** Of a copy that is to be made, where the repair plan asks: how many others its row says are stored on nodes that are not lost, 3 at most. */
  readonly livingCopies?: number;
}

/** What a name may be bound on, besides the parent being a directory. */
export interface BindCondition {
  /** Strong ETags (MD5 hex, unquoted), or `*`: the name must exist and match, else `precondition-failed`. */
  readonly ifMatch?: '*' | readonly string[];
  /** The name must not exist (`*`) or not match. */
  readonly ifNoneMatch?: '*' | readonly string[];
}

/** What to do when the name is taken: `rename` keeps both under a free name (`alternativeName`). */
export type OnConflict = 'replace' | 'rename' | 'fail';

export interface BlobToBind {
  readonly blobId: BlobId;
  readonly sizeBytes: number;
  readonly md5: string;
  readonly offsetBytes: number;
  /** Took the first copy. */
  readonly primary: NodeId;
  /** Durable there already, besides the primary. */
  readonly storedOn: readonly NodeId[];
  /** To be copied to; those beyond what is wanted are left out. */
  readonly wantedOn: readonly NodeId[];
}

export interface BindRequest extends BindCondition, TrashTime {
  readonly path: FilePath;
  readonly file: Omit<FileRecord, 'blobs'>;
  readonly blobs: readonly BlobToBind[];
  readonly onConflict: OnConflict;
  readonly visibility?: Visibility;
  /** The upload asked for so many copies: where that is more than the file would have, it is set on the file. */
  readonly minCopies?: number;
  /** When the file was last modified; by default now. */
  readonly modifiedAtMs?: number;
  /** Kept a day: a second bind with the same key changes nothing and gives the first one's outcome. */
  readonly idempotencyKey?: string;
}

export interface BindOutcome {
  /** Under which path the file is now: another than asked when renamed. */
  readonly named: NamedFile;
  /** The content that the name was bound to before. */
  readonly replaced?: FileId;
  /** True when the idempotency key was known: nothing was bound now, the blobs of this request are left to collection. */
  readonly repeated: boolean;
}

export interface MadeDirectory {
  readonly entry: Entry;
  /** False when it was there already. */
  readonly isNew: boolean;
}

export interface NodeRecord {
  readonly id: NodeId;
  readonly name: string;
  readonly url: string;
  readonly publicUrl?: string;
  readonly zone?: string;
  readonly state: NodeState;
  readonly dataDir: string;
  readonly capacityBytes: number;
  readonly usedBytes: number;
  readonly lastHeartbeatAtMs: number;
}

/** A blob with all rows of its copies, as the repair plan sees it. */
export interface BlobCopies {
  readonly blobId: BlobId;
  readonly sizeBytes: number;
  readonly md5: string;
  readonly copiesWanted: number;
  readonly path: string;
  readonly replicas: readonly Replica[];
}

export interface BlobCopiesPage {
  readonly blobs: readonly BlobCopies[];
  readonly next?: string;
}

/** A change of the rows of one blob's copies; each is checked again in the transaction that makes it. */
export type CopyChange =
  /** Only when there is no row for that node. */
  | { readonly kind: 'want'; readonly blobId: BlobId; readonly nodeId: NodeId }
  /** A wanted or corrupt row is forgotten (it never became durable, or the node is gone for good). */
  | { readonly kind: 'unwant'; readonly blobId: BlobId; readonly nodeId: NodeId }
  /** The primary role moves to this stored copy. */
  | { readonly kind: 'promote'; readonly blobId: BlobId; readonly nodeId: NodeId }
  /** Which nodes are lost changed since the rows of copies to be made were written: their order is made right. */
  | { readonly kind: 'rank'; readonly blobId: BlobId }
  /** Surplus: only while at least `copiesWanted` other stored copies are on nodes of `confirmedNodes`. */
  | {
      readonly kind: 'drop-surplus';
      readonly blobId: BlobId;
      readonly nodeId: NodeId;
      readonly confirmedNodes: readonly NodeId[];
    };

export interface LogEntry {
  readonly id: number;
  readonly blobId: BlobId;
  readonly path: string;
  readonly source?: NodeId;
  readonly target: NodeId;
  readonly outcome: 'stored' | 'failed' | 'corrupt' | 'missing' | 'dropped';
  readonly errorCode?: string;
  readonly message?: string;
  readonly startedAtMs: number;
  readonly durationMs: number;
}

export interface ClusterIdentity {
  readonly clusterId: ClusterId;
  readonly epoch: number;
}

/** What one page of a node's inventory means for the rows: the page covers all keys in (`afterKey`, `throughKey`]. */
export interface InventoryComparison {
  readonly nodeId: NodeId;
  /** Exclusive; absent: from the start. */
  readonly afterKey?: string;
  /** Inclusive; absent: to the end. */
  readonly throughKey?: string;
  readonly blobs: readonly StoredBlob[];
  readonly damaged: readonly BlobId[];
  /** Rows and uploads changed after the page was asked for are left alone: its time by the master's clock. */
  readonly askedAtMs: number;
  /** Asked in each transaction; false: the clock was set back since `askedAtMs`, which then says nothing, and no row is changed. Absent: it was not. */
  readonly isClockSteady?: () => boolean;
  /** Unknown blobs of the current epoch stored longer ago than this are aborted uploads. */
  readonly abortedBeforeMs: number;
  /** Blobs of uploads that run in this process. */
  readonly inUpload: ReadonlySet<BlobId>;
  /** Unknown blobs of earlier epochs of this cluster count as aborted uploads, too: only when an administrator asked for it. */
  readonly mayDropEarlierEpochs?: boolean;
}

export interface InventoryFindings {
  /** wanted → stored: the node holds it. */
  readonly found: number;
  /** stored → wanted: the node lacks it. */
  readonly missing: number;
  /** stored → corrupt. */
  readonly damaged: number;
  /** Unknown, of this epoch, old: now dropping. */
  readonly aborted: number;
  /** Unknown, of another epoch or cluster: left alone. */
  readonly quarantined: number;
}

/** Of the tree, without what is in the trash, as far as sizes of directories were folded; copies and blobs are exact, and all. */
export interface StoreCounts {
  readonly files: number;
  readonly directories: number;
  readonly logicalBytes: number;
  readonly trash: { readonly files: number; readonly bytes: number };
  readonly replicas: Readonly<Record<ReplicaState, number>>;
  /** Blobs with fewer rows of copies (stored, wanted or corrupt) than wanted: too few nodes. */
  readonly blobsShort: number;
  /** Blobs with no stored copy at all. */
  readonly blobsWithoutCopy: number;
  /** Of all copies that are to be made, whether they have a row or wait for a node. */
  readonly missingBytes: number;
}

/**
 * The truth. Each method but `purge` is one transaction (readers: one consistent read); what waits while a transaction runs is committed together with the next one. A method
 * that resolved has its effect on disk with full sync. `describeMetadataRepository` proves these promises on SQLite and PostgreSQL.
 *
 * Every write that touches entries, files, file_blobs or rights puts one row with the new row images into `changes`, in the same transaction.
 */
export interface MetadataRepository extends JournalSource, WorkingTree, TreeChanges, Rights {
  /** Changed only by a restore. */
  identity(): ClusterIdentity;
  /** Rebuilds this database from what others keep of it. */
  readonly restore: MetadataRestore;
  /** Number of the last committed row of `changes`; 0 on a new database. */
  journalNumber(): number;
  /** No file, directory or blob was ever recorded. */
  isEmpty(): Promise<boolean>;
  close(): Promise<void>;

  // ── the tree ──
  /** The root is a directory. Undefined when a name on the way is absent or a file. Cached by id. */
  findEntry(path: FilePath): Promise<Entry | undefined>;
  /** The same with what it inherits, all of one time. */
  findNamed(path: FilePath): Promise<NamedEntry | undefined>;
  /** Undefined when there is none; rejects with `is-a-directory` when the name is one. Cached. */
  findFile(path: FilePath): Promise<NamedFile | undefined>;
  /** By content; the newest name that holds it now, undefined when no name does. */
  findFileById(id: FileId): Promise<NamedFile | undefined>;
  /** Entries after the name `after`, at most `limit`. Rejects with `not-found`, `not-a-directory`. */
  listDirectory(path: FilePath, page: { after?: string; limit: number }): Promise<DirectoryPage>;
  /** Cached. Blobs that are not known are absent from the answer. */
  replicasOf(blobIds: readonly BlobId[]): Promise<ReadonlyMap<BlobId, readonly Replica[]>>;

  /**
   * Binds names: all or none, in one transaction. For each: resolves the parent from the root (and makes parents that are missing),
   * decides condition and `onConflict`, touches each blob's row where it is not `dropping`, records the copies, journals. What a name was bound to before goes
   * to the trash under an entry of its own, or without a time is released: a content that no name holds any more is deleted and its blobs become unreferenced now.
   * Rejects: `precondition-failed`, `not-a-directory` (a parent is a file), `is-a-directory`, `idempotency-conflict` (key known with another path), `conflict` (a blob is being dropped).
   * Never rejects for two writers of one name.
   */
  bindFiles(requests: readonly BindRequest[]): Promise<readonly BindOutcome[]>;
  /** What an earlier bind with this key gave, when it is younger than a day and was for this path (else `idempotency-conflict`). */
  findRepeated(key: string, path: FilePath): Promise<BindOutcome | undefined>;
  /** Makes a directory, and parents that are missing (unless `parents` is false: then `conflict`); succeeds when it is there. Rejects with `not-a-directory`. */
  makeDirectory(path: FilePath, options?: { readonly parents?: boolean }): Promise<MadeDirectory>;

  // ── uploads in progress ──
  /** Says that these blobs are being uploaded until `expiresAtMs`; called again to renew. */
  renewUploads(blobIds: readonly BlobId[], expiresAtMs: number): Promise<void>;
  endUploads(blobIds: readonly BlobId[]): Promise<void>;

  // ── copies ──
  /**
   * Outcomes of attempts: `stored` makes a wanted or corrupt row stored (a row that is gone or dropping stays as it is); `failed` counts the attempt and sets the
   * next one by `retryAtMs`. A source that lacks the blob or has it bad makes that row wanted or corrupt. One log row per attempt.
   */
  recordReplications(
    attempts: readonly ReplicationAttempt[],
    retryAtMs: (attempt: ReplicationAttempt, attempts: number) => number,
  ): Promise<void>;
  /** A node says that its copies are bad or missing: stored → corrupt or wanted, due now, logged. The primary role moves to a stored copy if there is one. */
  recordDamage(
    nodeId: NodeId,
    damages: readonly { blobId: BlobId; kind: 'corrupt' | 'missing'; detail: string }[],
    nowMs: number,
  ): Promise<void>;
  /** Wanted and corrupt rows on these targets that are due, those with the fewest living copies first and the oldest of them before the others, with every row of their blob; not those of `except` (job ids). */
  dueReplications(query: {
    nowMs: number;
    targets: readonly NodeId[];
    limit: number;
    except: ReadonlySet<string>;
  }): Promise<readonly { target: NodeId; blob: BlobCopies }[]>;
  /** Blobs with fewer rows of copies than wanted, by id after `after`. */
  blobsShortOfCopies(page: { after?: BlobId; limit: number }): Promise<BlobCopiesPage>;
  /** Blobs that files need and of which no copy is stored, by id after `after`. */
  blobsWithoutCopy(page: { after?: BlobId; limit: number }): Promise<BlobCopiesPage>;
  /** Blobs with a row on this node, in inventory order. */
  blobsOnNode(nodeId: NodeId, page: { after?: string; limit: number }): Promise<BlobCopiesPage>;
  /** At most 1 000 in one call. Gives how many took effect. */
  changeCopies(changes: readonly CopyChange[], nowMs: number): Promise<number>;
  /** Takes a transaction for each 1 000 rows that the page covers; a copy that it lists of a known blob without a row counts as found. */
  compareInventory(comparison: InventoryComparison): Promise<InventoryFindings>;

  // ── collection ──
  /** Blobs unreferenced since before `beforeMs`, in no upload and not in `held`: their copies become dropping (checked in the same transaction). At most `limit`. */
  releaseUnreferenced(query: {
    beforeMs: number;
    nowMs: number;
    held: ReadonlySet<BlobId>;
    limit: number;
  }): Promise<number>;
  /** Dropping rows on these nodes whose next attempt is due. */
  dueDrops(query: {
    nowMs: number;
    nodes: readonly NodeId[];
    limit: number;
  }): Promise<readonly Replica[]>;
  /** The node confirmed: the rows go; a blob with no row left goes too, if it is unreferenced. Logged as `dropped`. */
  confirmDropped(
    dropped: readonly { blobId: BlobId; nodeId: NodeId }[],
    nowMs: number,
  ): Promise<void>;
  deferDrops(
    drops: readonly { blobId: BlobId; nodeId: NodeId; error: string; retryAtMs: number }[],
  ): Promise<void>;

  // ── the rest ──
  listNodes(): Promise<readonly NodeRecord[]>;
  /** From now on copies on these nodes do not count as living. Kept in memory; rows written before are made right by `rank` changes. */
  noteLostNodes(nodes: ReadonlySet<NodeId>): void;
  /** How many rows of copies there are for a node. */
  copiesOn(nodeId: NodeId): Promise<number>;
  /** The blobs that are referred to and have a stored copy on one of these nodes and none on the others given. */
  lastCopiesOn(
    nodes: readonly NodeId[],
    others: readonly NodeId[],
  ): Promise<{ readonly blobs: number; readonly bytes: number }>;
  /** Copies of these nodes' blobs that are wanted and have no row on another node yet, in any state but on its way out, and their bytes. */
  copiesToMove(
    nodes: readonly NodeId[],
  ): Promise<{ readonly copies: number; readonly bytes: number }>;
  /** Takes away rows of copies on a node that left for good, at most `limit` and 1 000. Gives how many went. */
  forgetCopiesOn(nodeId: NodeId, limit: number): Promise<number>;
  /** Inserts or replaces by id. */
  saveNode(node: NodeRecord): Promise<void>;
  /** The newest `limit` rows (of a path, when given), after the row `afterId` when given; in the order they were written. */
  listLog(query: {
    path?: FilePath;
    limit?: number;
    afterId?: number;
  }): Promise<readonly LogEntry[]>;
  counts(): Promise<StoreCounts>;
  /** Deletes log rows, known idempotency keys and ended uploads from before these times, at most 1 000 each. Gives how many went. */
  purge(before: { logMs: number; idempotencyMs: number; uploadsMs: number }): Promise<number>;
}

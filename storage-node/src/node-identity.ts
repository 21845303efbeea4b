import { readFile, rename } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import {
  type ClusterId,
  ConfigurationError,
  type NodeId,
  newNodeId,
  StoreError,
} from '@dfs/shared';
import { syncDirectory } from './data-directory.ts';
import { closeFile, codeOf, diskError, openFile, syncFile, writeFully } from './raw-file.ts';

const fileName = 'node.json';
const format = 1;

/** What a disk knows of itself, in `node.json`. */
interface NodeRecord {
  readonly format: number;
  readonly nodeId: NodeId;
  readonly name: string;
  /** Absent until a master accepted the disk. */
  readonly clusterId?: ClusterId;
  /** The highest epoch of the database, and number of its journal, that this node ever heard of. */
  readonly epoch: number;
  readonly journal: number;
}

/** Whether a directory is a node's disk already. */
export async function hasIdentity(directory: string): Promise<boolean> {
  return (await readRecord(directory)) !== undefined;
}

/**
 * Who this disk is: the id is made once, cluster, epoch and journal only ever go up. Every change
 * is durable before it is acted upon.
 */
export class NodeIdentity {
  readonly #directory: string;
  /** On the disk. */
  #durable: NodeRecord;
  /** On its way there. */
  #wanted: NodeRecord;
  #saving: Promise<void> | undefined;

  private constructor(directory: string, record: NodeRecord) {
    this.#directory = directory;
    this.#durable = record;
    this.#wanted = record;
  }

  /**
   * Reads the identity of a disk, or makes one. A name given here replaces the one it had. The
   * caller holds the directory's lock. Rejects with `ConfigurationError` when the disk was written
   * by a later version or its record is damaged.
   */
  static async open(directory: string, name: string | undefined): Promise<NodeIdentity> {
    const found = await readRecord(directory);
    const nodeId = found?.nodeId ?? newNodeId();
    const fallback = `${hostname()}-${nodeId.slice(-4)}`;
    const identity = new NodeIdentity(
      directory,
      found ?? { format, nodeId, name: name ?? fallback, epoch: 0, journal: 0 },
    );
    if (!found) await identity.#write(identity.#wanted);
    await identity.#change({ name: name ?? identity.name });
    return identity;
  }

  get nodeId(): NodeId {
    return this.#durable.nodeId;
  }

  get name(): string {
    return this.#durable.name;
  }

  get clusterId(): ClusterId | undefined {
    return this.#durable.clusterId;
  }

  get epoch(): number {
    return this.#durable.epoch;
  }

  get journal(): number {
    return this.#durable.journal;
  }

  /**
   * Lets a command of this epoch pass once the epoch is remembered. Rejects a lower one than ever
   * seen with `stale-epoch`.
   */
  async obey(epoch: number): Promise<void> {
    if (epoch < this.#wanted.epoch) {
      throw new StoreError(
        'stale-epoch',
        `The command is of epoch ${epoch}; this node knows epoch ${this.#wanted.epoch}.`,
        {
          hint: 'The master works on an old copy of its database: stop it, and run the current one.',
        },
      );
    }
    // The journal of a new epoch is counted anew from wherever the database was restored.
    if (epoch > this.#durable.epoch) {
      await this.#change({ epoch, journal: 0 }).catch((error) => {
        throw diskError(error, `remembering the epoch ${epoch}`);
      });
    }
  }

  /**
   * Joins a cluster for good. Rejects with `wrong-cluster` when the disk belongs to another one.
   */
  async join(clusterId: ClusterId): Promise<void> {
    const own = this.#wanted.clusterId;
    if (own !== undefined && own !== clusterId) {
      throw new StoreError(
        'wrong-cluster',
        `This disk (${this.#directory}) belongs to cluster ${own}, the master to cluster ${clusterId}.`,
        { hint: 'Start the node with the data directory and the master address of one cluster.' },
      );
    }
    if (this.#durable.clusterId === undefined) await this.#change({ clusterId });
  }

  /**
   * Remembers the highest epoch and journal number; lower ones change nothing. A new epoch has a
   * journal of its own.
   */
  async hear({
    epoch,
    journal,
  }: {
    readonly epoch: number;
    readonly journal: number;
  }): Promise<void> {
    const { epoch: knownEpoch, journal: knownJournal } = this.#wanted;
    if (epoch < knownEpoch || (epoch === knownEpoch && journal <= knownJournal)) return;
    await this.#change({ epoch, journal });
  }

  async #change(news: Partial<NodeRecord>): Promise<void> {
    this.#wanted = { ...this.#wanted, ...news };
    while (!isSame(this.#durable, this.#wanted)) {
      this.#saving ??= this.#write(this.#wanted).finally(() => {
        this.#saving = undefined;
      });
      await this.#saving;
    }
  }

  async #write(record: NodeRecord): Promise<void> {
    const staged = join(this.#directory, `${fileName}.new`);
    const fd = await openFile(staged, 'w', 0o600);
    try {
      await writeFully(fd, [Buffer.from(`${JSON.stringify(record, undefined, 2)}\n`)], 0);
      await syncFile(fd);
    } finally {
      await closeFile(fd);
    }
    await rename(staged, join(this.#directory, fileName));
    await syncDirectory(this.#directory);
    this.#durable = record;
  }
}

const isSame = (a: NodeRecord, b: NodeRecord) => JSON.stringify(a) === JSON.stringify(b);

async function readRecord(directory: string): Promise<NodeRecord | undefined> {
  const path = join(directory, fileName);
  const text = await readFile(path, 'utf8').catch((error) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new ConfigurationError(`${path} cannot be read (${codeOf(error)}).`, { cause: error });
  });
  if (text === undefined) return undefined;
  const record = recordOf(text);
  if (record === undefined) {
    throw new ConfigurationError(
      `${path} is damaged: bring back the node's id from "dfs nodes", or give the node an empty directory.`,
    );
  }
  if (record.format !== format) {
    throw new ConfigurationError(
      `The data directory ${directory} has format ${record.format}; this version of dfs knows format ${format}.`,
    );
  }
  return record;
}

function recordOf(text: string): NodeRecord | undefined {
  try {
    const record = JSON.parse(text) as Partial<NodeRecord>;
    const isUsable =
      typeof record.format === 'number' &&
      (record.format !== format ||
        (typeof record.nodeId === 'string' && typeof record.epoch === 'number'));
    return isUsable ? (record as NodeRecord) : undefined;
  } catch {
    return undefined;
  }
}

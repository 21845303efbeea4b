import type { SecureContext } from 'node:tls';
import {
  type Clock,
  type Heartbeat,
  type HeartbeatAnswer,
  type NodeId,
  type NodeMap,
  type NodeState,
  type ScrubbingNode,
  StoreError,
} from '@dfs/shared';
import {
  type ClusterKeyring,
  HttpBlobStore,
  type HttpCache,
  type JournalKeeper,
  type Logger,
} from '@dfs/shared/cluster';
import type { MetadataRepository, NodeRecord } from '../metadata/metadata-repository.ts';
import { CountedNodeStore } from './counted-node-store.ts';
import type { NodeDirectory, NodeSnapshot, NodeStore, NodeTold } from './node-directory.ts';
import { judgeCluster, unfinishedRestore } from './recovery.ts';
import { type HeardNode, RefusedNodes } from './refused-nodes.ts';

export interface NodeDirectoryDependencies {
  readonly metadata: MetadataRepository;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly keyring: ClusterKeyring;
  /** Checks the certificates of nodes; absent: what Node.js trusts anyway. */
  readonly trust?: SecureContext | undefined;
  /** The time to write down for a heartbeat, ms since 1970: the next start compares its clock with it. Absent: that of the clock. */
  readonly trustedNowMs?: () => number;
  readonly config: { readonly nodeTimeoutMs: number; readonly heartbeatEveryMs: number };
}

/** A gap between two ticks longer than this means that this process stood still: nobody's silence counts. */
const gapMaxMs = 2_000;
const tickEveryMs = 500;
const probeTimeoutMs = 1_000;
/** A main loop or a disk that stood still for longer takes no new blobs. */
const loopAgeMaxMs = 10_000;
const diskWriteAgeMaxMs = 60_000;
/** Used bytes and the last heartbeat are written down this often; a change of address or state at once. */
const saveEveryMs = 60_000;

type ChangeListener = Parameters<NodeDirectory['onChange']>[0];

/** One node as remembered between heartbeats. */
class KnownNode {
  record: NodeRecord;
  /** Random per start of the node's process; undefined until its first heartbeat to this master. */
  instanceId: string | undefined;
  state: NodeState;
  isDraining: boolean;
  freeBytes = 0;
  reservedBytes = 0;
  heardAtMonotonicMs: number;
  savedAtMonotonicMs = 0;
  /** Its wall clock less this process's monotonic clock; undefined: it does not tell. */
  clockOffsetMs: number | undefined;
  told: NodeTold | undefined;
  readonly store: CountedNodeStore;
  isProbing = false;

  /** Its state when it answers. */
  get stateWhenHeard(): NodeState {
    return this.isDraining ? 'draining' : 'up';
  }

  constructor(record: NodeRecord, nowMonotonicMs: number, store: CountedNodeStore) {
    this.record = record;
    // What the database remembers is no news of the present: a node counts as up when it was heard.
    this.state = 'suspect';
    this.isDraining = record.state === 'draining';
    this.heardAtMonotonicMs = nowMonotonicMs;
    this.store = store;
  }
}

/** The node directory fed by heartbeats. `start` reads the known nodes and begins to count silence. */
export class HeartbeatNodeDirectory implements NodeDirectory {
  readonly #deps: NodeDirectoryDependencies;
  readonly #nodes = new Map<NodeId, KnownNode>();
  readonly #removed = new Set<NodeId>();
  readonly #listeners = new Set<ChangeListener>();
  /** Fenced newcomers that were spoken of, so that each gets one line. */
  readonly #fenced = new Set<string>();
  /** Nodes that this database does not accept: it may have to be rebuilt from them. */
  readonly refused: RefusedNodes;
  #recovery: string | undefined;
  #wasHeard = false;
  #newestRecordedMs = 0;
  #tickTimer: NodeJS.Timeout | undefined;
  #tickedAtMonotonicMs = 0;

  constructor(dependencies: NodeDirectoryDependencies) {
    this.#deps = dependencies;
    this.refused = new RefusedNodes(dependencies.clock);
  }

  async start(): Promise<void> {
    for (const record of await this.#deps.metadata.listNodes()) {
      if (record.state === 'removed') this.#removed.add(record.id);
      else this.#remember(record);
      this.#newestRecordedMs = Math.max(this.#newestRecordedMs, record.lastHeartbeatAtMs);
    }
    if (this.#deps.metadata.restore.unfinished !== undefined) this.#recovery = unfinishedRestore;
    this.#tickedAtMonotonicMs = this.#deps.clock.monotonic();
    this.#tickTimer = setInterval(() => this.tick(), tickEveryMs);
    this.#tickTimer.unref();
  }

  snapshots(): readonly NodeSnapshot[] {
    return [...this.#nodes.values()].map((node) => this.#snapshot(node));
  }

  find(id: NodeId): NodeSnapshot | undefined {
    const node = this.#nodes.get(id);
    return node && this.#snapshot(node);
  }

  storeOf(id: NodeId): NodeStore {
    return this.#nodeOf(id).store;
  }

  #nodeOf(id: NodeId): KnownNode {
    const node = this.#nodes.get(id);
    if (node) return node;
    throw new StoreError('unavailable', `No node with the id ${id} is known.`, {
      hint: 'Look at "dfs nodes".',
    });
  }

  /** The node as one that reads its blobs again when asked. Rejects with `unavailable` for an unknown id. */
  scrubbing(id: NodeId): ScrubbingNode {
    return this.#nodeOf(id).store.scrubbing;
  }

  /** The node as a keeper of the journal. Rejects with `unavailable` for an unknown id. */
  journalOf(id: NodeId): JournalKeeper {
    return this.#nodeOf(id).store.journal;
  }

  /** The cache of a node. Rejects with `unavailable` for an unknown id. */
  cacheOf(id: NodeId): HttpCache {
    return this.#nodeOf(id).store.cache;
  }

  reserve(id: NodeId, sizeBytes: number): () => void {
    const node = this.#nodes.get(id);
    if (!node) return () => {};
    node.reservedBytes += sizeBytes;
    let isHeld = true;
    return () => {
      if (isHeld) node.reservedBytes -= sizeBytes;
      isHeld = false;
    };
  }

  onChange(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  removed(): readonly NodeId[] {
    return [...this.#removed];
  }

  recovery(): string | undefined {
    return this.#recovery;
  }

  /** Every node that was heard or is known, accepted or not, at its latest address. */
  heardNodes(): readonly HeardNode[] {
    const known = [...this.#nodes.values()].map(({ record: { id, name, url } }) => ({
      id,
      name,
      url,
    }));
    const all = [...known, ...this.refused.addresses()];
    return [...new Map(all.map((node) => [node.id, node])).values()];
  }

  /** The database is whole again: nodes are accepted at their next heartbeat. */
  endRecovery(): void {
    this.#recovery = undefined;
    this.refused.clear();
  }

  isConfirmed(): boolean {
    return this.#wasHeard || this.#nodes.size === 0;
  }

  /** The newest time that a node was heard before this start, ms since 1970; 0 where none was. */
  get newestRecordedMs(): number {
    return this.#newestRecordedMs;
  }

  /** By how much this clock is ahead of those of at least half of the nodes that are there, ms; undefined while none told its time. */
  aheadOfNodesMs(): number | undefined {
    const { clock } = this.#deps;
    const offsetMs = clock.now() - clock.monotonic();
    const ahead = [...this.#nodes.values()]
      .filter(({ state }) => state === 'up' || state === 'draining')
      .flatMap(({ clockOffsetMs }) => clockOffsetMs ?? [])
      .map((nodeOffsetMs) => offsetMs - nodeOffsetMs)
      .sort((a, b) => a - b);
    return ahead[Math.floor(ahead.length / 2)];
  }

  nodeMap(): NodeMap {
    const { clusterId, epoch } = this.#deps.metadata.identity();
    const nodes = [...this.#nodes.values()].map(({ record, state }) => ({
      id: record.id,
      name: record.name,
      url: record.url,
      state,
    }));
    return { clusterId, epoch, nodes };
  }

  /**
   * Takes a node's word. `remoteAddress` is the address of its connection, used where it announces none.
   * Rejects: `wrong-cluster`, `in-recovery`, `forbidden` (it was removed), `fenced` (another process answers for this id at the address known so far).
   */
  async heartbeat(heartbeat: Heartbeat, remoteAddress: string): Promise<HeartbeatAnswer> {
    const { metadata, clock, config } = this.#deps;
    this.#checkRemoved(heartbeat);
    const url =
      heartbeat.url || `${schemeOf(heartbeat)}://${hostOf(remoteAddress)}:${heartbeat.port}`;
    await this.#checkCluster(heartbeat, url);
    this.#wasHeard = true;
    await this.#checkAddress(heartbeat, url);
    await this.#accept(heartbeat, url);
    const { clusterId, epoch } = metadata.identity();
    return {
      clusterId,
      epoch,
      journal: metadata.journalNumber(),
      masterTimeMs: clock.now(),
      heartbeatEveryMs: config.heartbeatEveryMs,
    };
  }

  /** One look at the time: who fell silent. Called by a timer; a test calls it after moving its clock. */
  tick(): void {
    const now = this.#deps.clock.monotonic();
    const stoodStill = now - this.#tickedAtMonotonicMs > gapMaxMs;
    this.#tickedAtMonotonicMs = now;
    for (const node of this.#nodes.values()) {
      if (stoodStill) node.heardAtMonotonicMs = now;
      const isSilent = now - node.heardAtMonotonicMs > this.#deps.config.nodeTimeoutMs;
      if (isSilent && node.state !== 'down') this.#become(node, 'down');
    }
  }

  /** From now on the node gets no new blobs and its copies are to be elsewhere, or not any more. Remembered by the database. */
  async drain(id: NodeId, isDraining: boolean): Promise<void> {
    const node = this.#get(id);
    const before = node.isDraining;
    // First of all, so that no heartbeat meanwhile writes down the opposite.
    node.isDraining = isDraining;
    try {
      await this.#deps.metadata.saveNode({ ...node.record, state: node.stateWhenHeard });
    } catch (error) {
      node.isDraining = before;
      throw error;
    }
    const isHeard = node.state === 'up' || node.state === 'draining';
    this.#become(node, isHeard ? node.stateWhenHeard : node.state, { mustTell: true });
  }

  /** The node left for good: it is forgotten and refused from now on. Remembered by the database. */
  async remove(id: NodeId): Promise<void> {
    const node = this.#get(id);
    // First of all, so that no heartbeat on its way writes down that it is up.
    this.#removed.add(id);
    try {
      await this.#deps.metadata.saveNode({ ...node.record, state: 'removed' });
    } catch (error) {
      this.#removed.delete(id);
      throw error;
    }
    this.#nodes.delete(id);
    this.#become(node, 'removed');
    await node.store.close();
  }

  async close(): Promise<void> {
    clearInterval(this.#tickTimer);
    await Promise.all([...this.#nodes.values()].map((node) => node.store.close()));
  }

  #get(id: NodeId): KnownNode {
    const node = this.#nodes.get(id);
    if (node) return node;
    throw new StoreError('not-found', `There is no node with the id ${id}.`, {
      hint: 'Look at "dfs nodes".',
    });
  }

  #checkRemoved({ nodeId, name, instanceId }: Heartbeat): void {
    if (!this.#removed.has(nodeId)) return;
    const line = `Node ${name} (${nodeId}) was removed from this cluster.`;
    if (!this.#fenced.has(instanceId)) this.#deps.logger.warn(line);
    this.#fenced.add(instanceId);
    throw new StoreError('forbidden', line, {
      hint: 'Give it an empty data directory: it joins as a new node then.',
    });
  }

  async #checkCluster(heartbeat: Heartbeat, url: string): Promise<void> {
    const { metadata, logger } = this.#deps;
    const verdict = judgeCluster(heartbeat, {
      ...metadata.identity(),
      journal: metadata.journalNumber(),
      isEmpty: heartbeat.clusterId === undefined ? false : await metadata.isEmpty(),
      isUnfinished: metadata.restore.unfinished !== undefined,
      recovery: this.#recovery,
    });
    if (verdict.kind !== 'fine') this.refused.note(heartbeat, url);
    if (verdict.kind === 'recovery') {
      if (this.#recovery === undefined) logger.error(verdict.message, { hint: verdict.hint });
      this.#recovery = verdict.message;
    }
    if (verdict.kind !== 'fine') {
      const kind = verdict.kind === 'recovery' ? 'in-recovery' : 'wrong-cluster';
      throw new StoreError(kind, verdict.message, { hint: verdict.hint });
    }
  }

  /** A known id from a new address is believed when the old address no longer answers for it (design: node identity). */
  async #checkAddress(heartbeat: Heartbeat, url: string): Promise<void> {
    const known = this.#nodes.get(heartbeat.nodeId);
    if (!known || known.record.url === url || known.instanceId === heartbeat.instanceId) return;
    if (!(await this.#answersFor(known))) return;
    const line = `Node ${heartbeat.name} at ${url} claims the id ${heartbeat.nodeId}, for which ${known.record.url} still answers: it is kept out.`;
    if (!this.#fenced.has(heartbeat.instanceId)) this.#deps.logger.warn(line);
    this.#fenced.add(heartbeat.instanceId);
    throw new StoreError('fenced', line, {
      hint: 'Two disks carry one node id, so one is a copy of the other: stop one of the two nodes and give it an empty data directory.',
    });
  }

  async #answersFor(node: KnownNode): Promise<boolean> {
    try {
      const status = await node.store.status(AbortSignal.timeout(probeTimeoutMs));
      return status.nodeId === node.record.id;
    } catch {
      // No answer, or another node's: the address is free of this id.
      return false;
    }
  }

  async #accept(heartbeat: Heartbeat, url: string): Promise<void> {
    const { clock, logger, config } = this.#deps;
    // It may have been removed while its address was looked at.
    this.#checkRemoved(heartbeat);
    const known = this.#nodes.get(heartbeat.nodeId);
    const record: NodeRecord = {
      id: heartbeat.nodeId,
      name: heartbeat.name,
      url,
      ...publicUrlOf(heartbeat, url),
      ...(heartbeat.zone === undefined ? {} : { zone: heartbeat.zone }),
      state: known?.stateWhenHeard ?? 'up',
      dataDir: heartbeat.dataDir,
      capacityBytes: heartbeat.capacityBytes,
      usedBytes: heartbeat.usedBytes,
      lastHeartbeatAtMs: this.#deps.trustedNowMs?.() ?? clock.now(),
    };
    const node = known ?? this.#remember(record);
    const isMoved = node.record.url !== url;
    const isRestarted = node.instanceId !== heartbeat.instanceId;
    if (!known) this.#tellOfNamesake(record);
    if (isMoved) logger.info('node moved', { node: record.name, from: node.record.url, to: url });
    node.record = record;
    node.instanceId = heartbeat.instanceId;
    node.freeBytes = heartbeat.freeBytes - heartbeat.reserveBytes;
    node.told = toldBy(heartbeat);
    // A node whose main loop hangs is as silent as that loop, whoever beats for it.
    const isHanging = heartbeat.loopAgeMs > config.nodeTimeoutMs;
    const hungForMs = isHanging ? heartbeat.loopAgeMs : 0;
    const { nodeTimeMs } = heartbeat;
    node.clockOffsetMs = nodeTimeMs === undefined ? undefined : nodeTimeMs - clock.monotonic();
    node.heardAtMonotonicMs = clock.monotonic() - hungForMs;
    const isWell =
      heartbeat.loopAgeMs <= loopAgeMaxMs && heartbeat.diskWriteAgeMs <= diskWriteAgeMaxMs;
    const isSaveDue =
      !known || isMoved || node.heardAtMonotonicMs - node.savedAtMonotonicMs > saveEveryMs;
    if (isSaveDue) {
      node.savedAtMonotonicMs = node.heardAtMonotonicMs;
      await this.#deps.metadata.saveNode(record);
    }
    if (this.#nodes.get(record.id) !== node) return;
    const state = isHanging ? 'down' : isWell ? node.stateWhenHeard : 'suspect';
    this.#become(node, state, { isNew: !known, mustTell: !known || isMoved || isRestarted });
  }

  /** Ids tell nodes apart for programs; for people two of one name are hard to. */
  #tellOfNamesake({ id, name }: NodeRecord): void {
    const other = [...this.#nodes.values()].find(
      ({ record }) => record.name === name && record.id !== id,
    );
    if (!other) return;
    this.#deps.logger.warn('two nodes have one name: start one with another DFS_NODE_NAME', {
      name,
      ids: [other.record.id, id],
    });
  }

  #become(
    node: KnownNode,
    state: NodeState,
    { isNew = false, mustTell = false }: { isNew?: boolean; mustTell?: boolean } = {},
  ): void {
    if (node.state === state && !mustTell) return;
    if (node.state !== state || isNew) {
      this.#deps.logger.info(isNew ? 'node registered' : `node is ${state}`, {
        node: node.record.name,
        id: node.record.id,
        url: node.record.url,
      });
    }
    node.state = state;
    for (const listener of this.#listeners) listener({ id: node.record.id, state, isNew });
  }

  #remember(record: NodeRecord): KnownNode {
    const { keyring, metadata, clock } = this.#deps;
    const store: CountedNodeStore = new CountedNodeStore(
      new HttpBlobStore({
        nodeId: record.id,
        url: () => this.#nodes.get(record.id)?.record.url ?? record.url,
        keyring,
        trust: this.#deps.trust,
        epoch: () => metadata.identity().epoch,
        onOutcome: (outcome) => {
          if (!outcome.ok) this.#suspect(record.id);
        },
      }),
    );
    const node = new KnownNode(record, clock.monotonic(), store);
    this.#nodes.set(record.id, node);
    return node;
  }

  /** A request got no answer: nobody else shall wait for it, until it answers a probe or is heard again. */
  #suspect(id: NodeId): void {
    const node = this.#nodes.get(id);
    if (node?.state === 'up' || node?.state === 'draining') this.#become(node, 'suspect');
    if (node && node.state === 'suspect' && !node.isProbing) this.#probe(node);
  }

  #probe(node: KnownNode): void {
    node.isProbing = true;
    const heardAtMs = node.heardAtMonotonicMs;
    const timer = setTimeout(async () => {
      const answers = await this.#answersFor(node);
      node.isProbing = false;
      if (node.state !== 'suspect' || node.heardAtMonotonicMs !== heardAtMs) return;
      if (answers) this.#become(node, node.stateWhenHeard);
      else this.#probe(node);
    }, tickEveryMs);
    timer.unref();
  }

  #snapshot(node: KnownNode): NodeSnapshot {
    const { record } = node;
    return {
      id: record.id,
      name: record.name,
      url: record.url,
      ...(record.publicUrl === undefined ? {} : { publicUrl: record.publicUrl }),
      ...(record.zone === undefined ? {} : { zone: record.zone }),
      state: node.state,
      ...(node.isDraining ? { isDraining: true } : {}),
      dataDir: record.dataDir,
      capacityBytes: record.capacityBytes,
      usedBytes: record.usedBytes,
      freeBytes: Math.max(0, node.freeBytes - node.reservedBytes),
      inFlight: node.store.inFlight,
      ...(node.told === undefined ? {} : { told: node.told }),
      silentForMs: this.#deps.clock.monotonic() - node.heardAtMonotonicMs,
    };
  }
}

const toldBy = ({ blobCount, uptimeSeconds, publicPort, caches }: Heartbeat): NodeTold => ({
  blobCount,
  ...(uptimeSeconds === undefined ? {} : { uptimeSeconds }),
  ...(publicPort === undefined ? {} : { publicPort }),
  cachedBytes: caches?.bytes ?? 0,
  cachedCount: caches?.count ?? 0,
});

const schemeOf = ({ scheme }: Heartbeat) => (scheme === 'https' ? 'https' : 'http');

const publicUrlOf = ({ publicUrl }: Heartbeat, url: string) =>
  publicUrl === undefined ? {} : { publicUrl: publicUrl === 'self' ? url : publicUrl };

/** An address as it stands in a URL: IPv4 without its IPv6 mapping, IPv6 in brackets. */
function hostOf(remoteAddress: string): string {
  const address = remoteAddress.replace(/^::ffff:(?=\d+\.)/, '');
  return address.includes(':') ? `[${address}]` : address;
}

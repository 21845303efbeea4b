import { type NodeId, type NodeState, newNodeId, StoreError } from '@dfs/shared';
import type { FakeClock } from '@dfs/shared/testing';
import type { NodeDirectory, NodeSnapshot } from '../cluster/node-directory.ts';
import { TestStore } from './test-store.ts';

type ChangeListener = Parameters<NodeDirectory['onChange']>[0];

/** A storage node in a test: its state is what the master believes, its store what is there. */
export class TestNode {
  readonly id: NodeId;
  readonly name: string;
  readonly store: TestStore;
  readonly capacityBytes: number;
  state: NodeState = 'up';
  isDraining = false;
  /** Somebody else filled the disk. */
  isFull = false;
  publicUrl: string | undefined;
  reservedBytes = 0;
  silentForMs = 0;

  constructor(id: NodeId, name: string, store: TestStore, capacityBytes: number) {
    this.id = id;
    this.name = name;
    this.store = store;
    this.capacityBytes = capacityBytes;
  }

  get snapshot(): NodeSnapshot {
    const { usedBytes } = this.store;
    return {
      id: this.id,
      name: this.name,
      url: `http://${this.name}`,
      ...(this.publicUrl === undefined ? {} : { publicUrl: this.publicUrl }),
      state: this.state === 'up' && this.isDraining ? 'draining' : this.state,
      ...(this.isDraining ? { isDraining: true } : {}),
      dataDir: `/data/${this.name}`,
      capacityBytes: this.capacityBytes,
      usedBytes,
      freeBytes: this.isFull ? 0 : Math.max(0, this.capacityBytes - usedBytes - this.reservedBytes),
      inFlight: this.store.openReads,
      silentForMs: this.silentForMs,
    };
  }
}

/** A node directory over memory blob stores. */
export class TestNodes implements NodeDirectory {
  readonly all: TestNode[] = [];
  recoveryReason: string | undefined;
  confirmed = true;
  readonly removedIds: NodeId[] = [];
  readonly #clock: FakeClock;
  readonly #listeners = new Set<ChangeListener>();
  #added = 0;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  add(capacityBytes = 2 ** 40, nodeId: NodeId = newNodeId()): TestNode {
    const peerOf = (id: NodeId) => this.all.find((node) => node.id === id)?.store;
    const store = new TestStore({ clock: this.#clock, peerOf, capacityBytes });
    this.#added += 1;
    const node = new TestNode(nodeId, `node-${this.#added}`, store, capacityBytes);
    this.all.push(node);
    for (const listener of this.#listeners) listener({ id: nodeId, state: 'up', isNew: true });
    return node;
  }

  /** Makes the master believe this of a node. */
  become(node: TestNode, state: NodeState): void {
    node.state = state;
    this.#tell(node.id, node.snapshot.state);
  }

  async drain(id: NodeId, isDraining: boolean): Promise<void> {
    const node = this.get(id);
    node.isDraining = isDraining;
    this.#tell(id, node.snapshot.state);
  }

  async remove(id: NodeId): Promise<void> {
    this.all.splice(this.all.indexOf(this.get(id)), 1);
    this.removedIds.push(id);
    this.#tell(id, 'removed');
  }

  #tell(id: NodeId, state: NodeState): void {
    for (const listener of this.#listeners) listener({ id, state, isNew: false });
  }

  get(id: NodeId): TestNode {
    const node = this.all.find((each) => each.id === id);
    if (node) return node;
    throw new StoreError('unavailable', `No node with the id ${id} is known.`);
  }

  snapshots(): readonly NodeSnapshot[] {
    return this.all.map((node) => node.snapshot);
  }

  find(id: NodeId): NodeSnapshot | undefined {
    return this.all.find((node) => node.id === id)?.snapshot;
  }

  storeOf(id: NodeId): TestStore {
    return this.get(id).store;
  }

  reserve(id: NodeId, sizeBytes: number): () => void {
    const node = this.get(id);
    node.reservedBytes += sizeBytes;
    return () => {
      node.reservedBytes -= sizeBytes;
    };
  }

  onChange(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  removed(): readonly NodeId[] {
    return this.removedIds;
  }

  recovery(): string | undefined {
    return this.recoveryReason;
  }

  isConfirmed(): boolean {
    return this.confirmed;
  }

  async close(): Promise<void> {}
}

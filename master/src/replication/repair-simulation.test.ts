import { type BlobId, parseFilePath } from '@dfs/shared';
import { seededRandom } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { gcGraceMs, TestCluster, type TestNode } from './test-cluster.ts';

interface LiveFile {
  readonly path: string;
  readonly blob: BlobId;
  readonly copiesWanted: number;
}

const stepsPerRun = 60;
const copiesMax = 3;

/**
 * Nodes die, return, lose and rot files, join; replicators and whole processes stop; files come and go, all by one seeded plan. What no failure of more than
 * `copiesMax - 1` nodes at a time can take must still be there after every step.
 */
class Simulation {
  readonly cluster: TestCluster;
  readonly #random: () => number;
  readonly #files: LiveFile[] = [];
  readonly #deleted: BlobId[] = [];
  #count = 0;

  constructor(cluster: TestCluster, seed: number) {
    this.cluster = cluster;
    this.#random = seededRandom(seed);
  }

  async step(): Promise<void> {
    const actions = [
      () => this.#put(),
      () => this.#put(),
      () => this.#remove(),
      () => this.#kill(),
      () => this.#revive(),
      () => this.#rot(),
      () => this.#toggleReplicator(),
      () => this.#restartLoop(),
      () => this.#standStill(),
      () => this.#wait(),
    ];
    await this.#pick(actions)();
    await this.cluster.round(this.#pick([500, 2_000, 2_000, 9_000]));
    await this.cluster.collector.step();
  }

  /** Every file has a whole copy somewhere, on a living node or a dead one, that its rows count on. */
  async check(): Promise<void> {
    for (const { path, blob } of this.#files) {
      const rows = (await this.cluster.metadata.replicasOf([blob])).get(blob) ?? [];
      const stored = rows.filter((row) => row.state === 'stored').map((row) => row.nodeId);
      const holders = this.cluster.directory.nodes.filter((node) => node.store.ids.includes(blob));
      const counted = holders.filter((node) => stored.includes(node.id));
      expect(counted.length, `whole copies of ${path}`).toBeGreaterThan(0);
      expect(rows.filter((row) => row.role === 'primary').length, path).toBe(1);
    }
  }

  /** Everything heals, and then the nodes hold exactly what they should. */
  async finish(): Promise<void> {
    const { cluster } = this;
    cluster.isReplicatorDown = false;
    for (const node of cluster.directory.nodes) if (this.#isDead(node)) cluster.revive(node);
    for (let i = 0; i < 4; i += 1) {
      await cluster.settle();
      cluster.pass(gcGraceMs + 1_000);
    }
    await cluster.settle();
    for (const { path, blob, copiesWanted } of this.#files) {
      expect(cluster.holdersOf(blob), path).toHaveLength(copiesWanted);
    }
    for (const blob of this.#deleted) expect(cluster.holdersOf(blob)).toEqual([]);
    const known = new Set(this.#files.map((file) => file.blob));
    const left = cluster.directory.nodes
      .flatMap((node) => node.store.ids)
      .filter((id) => !known.has(id));
    expect(left).toEqual([]);
    const counts = await cluster.metadata.counts();
    expect(counts.replicas).toMatchObject({ wanted: 0, corrupt: 0, dropping: 0 });
    expect(counts.blobsShort).toBe(0);
  }

  #isDead(node: TestNode): boolean {
    return node.state !== 'up';
  }

  async #put(): Promise<void> {
    const up = this.cluster.directory.nodes.filter((node) => !this.#isDead(node));
    const copiesWanted = 1 + Math.floor(this.#random() * copiesMax);
    const shuffled = up
      .map((node) => ({ node, key: this.#random() }))
      .toSorted((a, b) => a.key - b.key);
    // Sometimes an upload found too few nodes.
    const found = this.#random() < 0.3 ? Math.max(1, copiesWanted - 1) : copiesWanted;
    const holders = shuffled.slice(0, found).map(({ node }) => node);
    this.#count += 1;
    const path = `/simulated/${this.#count}`;
    const blob = await this.cluster.put(holders, { copiesWanted, path });
    this.#files.push({ path, blob, copiesWanted });
  }

  async #remove(): Promise<void> {
    const index = Math.floor(this.#random() * this.#files.length);
    const [file] = this.#files.splice(index, 1);
    if (!file) return;
    await this.cluster.metadata.removeEntry(parseFilePath(file.path));
    this.#deleted.push(file.blob);
  }

  async #kill(): Promise<void> {
    const { nodes } = this.cluster.directory;
    const alive = nodes.filter((node) => !this.#isDead(node));
    if (alive.length <= nodes.length - copiesMax + 1) return;
    this.cluster.kill(this.#pick(alive));
    if (this.#random() < 0.5) this.cluster.pass(80_000);
  }

  async #revive(): Promise<void> {
    const dead = this.cluster.directory.nodes.filter((node) => this.#isDead(node));
    if (dead.length > 0) this.cluster.revive(this.#pick(dead));
  }

  /** A copy goes bad or missing where others are stored on nodes that live; the node notices at once or at the next comparison. */
  async #rot(): Promise<void> {
    const { cluster } = this;
    const file = this.#files[Math.floor(this.#random() * this.#files.length)];
    if (!file) return;
    const rows = (await cluster.metadata.replicasOf([file.blob])).get(file.blob) ?? [];
    const stored = rows.filter((row) => row.state === 'stored');
    const good = stored.filter((row) => {
      const node = cluster.directory.nodes.find((each) => each.id === row.nodeId);
      return node && !this.#isDead(node) && node.store.ids.includes(file.blob);
    });
    if (good.length < 2) return;
    const victim = this.#pick(good);
    cluster.directory.storeOf(victim.nodeId).lose(file.blob);
    const damage = { blobId: file.blob, kind: 'missing' as const, detail: 'lost' };
    await cluster.metadata.recordDamage(victim.nodeId, [damage], cluster.clock.now());
  }

  async #toggleReplicator(): Promise<void> {
    this.cluster.isReplicatorDown = !this.cluster.isReplicatorDown;
  }

  async #restartLoop(): Promise<void> {
    await this.cluster.repair.stop();
    this.cluster.repair = this.cluster.makeRepair();
  }

  async #standStill(): Promise<void> {
    this.cluster.clock.advance(70_000);
  }

  async #wait(): Promise<void> {
    this.cluster.pass(this.#pick([10_000, 70_000, gcGraceMs]));
  }

  #pick<T>(values: readonly T[]): T {
    return values[Math.floor(this.#random() * values.length)] as T;
  }
}

describe('repair and collection together', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])(
    'lose no file and leave nothing behind, seed %d',
    async (seed) => {
      const cluster = await TestCluster.start({ nodes: 5 });
      try {
        const simulation = new Simulation(cluster, seed);
        for (let step = 0; step < stepsPerRun; step += 1) {
          await simulation.step();
          await simulation.check();
        }
        await simulation.finish();
      } finally {
        await cluster.close();
      }
    },
  );
});

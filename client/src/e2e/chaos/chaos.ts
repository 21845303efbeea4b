import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { seededRandom } from '../harness/content.ts';
import { type LocalCluster, startCluster } from '../harness/local-cluster.ts';
import type { TestRedis } from '../harness/redis.ts';
import { waitUntil } from '../harness/wait-until.ts';
import { Ledger } from './ledger.ts';

export interface ChaosOptions {
  readonly rounds: number;
  readonly seed: number;
  /** Jobs travel through it, and it dies and is emptied like the rest. */
  readonly redis?: TestRedis;
}

const workers = 4;
const nodes = 3;
const copies = 2;

/** The seed of this run: a new one, or the one that a failed run printed. */
export const chaosSeed = () =>
  Number(process.env['DFS_CHAOS_SEED'] ?? Math.floor(Math.random() * 1e9));

export const chaosRounds = (fallback: number) =>
  Number(process.env['DFS_CHAOS_ROUNDS'] ?? fallback);

/**
 * Puts, reads and deletes files by several hands while programs are killed at random instants, and checks in the end that all is as it was acknowledged. The
 * seed decides what is done and what is killed; how the two meet is up to the machine.
 */
export async function runChaos({ rounds, seed, redis }: ChaosOptions): Promise<void> {
  process.stdout.write(`Chaos over ${rounds} rounds; to repeat: DFS_CHAOS_SEED=${seed}\n`);
  const random = seededRandom(seed);
  const cluster = await startCluster({
    nodes,
    copies,
    restart: true,
    environment: {
      DFS_SEGMENT_BYTES: '1MiB',
      ...(redis ? { DFS_REDIS_URL: redis.url } : {}),
    },
  });
  try {
    const ledgers = Array.from(
      { length: workers },
      (_, worker) => new Ledger(cluster, `/chaos-${worker}`, seededRandom(seed + 1 + worker)),
    );
    const killer = new Killer(cluster, random, redis);
    const startedAtMs = performance.now();
    for (let round = 0; round < rounds; round += 1) {
      await waitUntil('the master to be back', cluster.isReady, { withinMs: 120_000 });
      const deeds = Promise.all(ledgers.map((ledger) => ledger.act()));
      await Promise.all([deeds, killer.strike()]);
    }
    await killer.rest();
    const brokenMs = performance.now() - startedAtMs;
    await expectAllRight(cluster, ledgers, killer);
    const rightMs = performance.now() - startedAtMs - brokenMs;
    process.stdout.write(
      `${Math.round(brokenMs / 1000)} s of breaking, ${Math.round(rightMs / 1000)} s until all was right again\n`,
    );
  } catch (error) {
    const failure = error as Error;
    failure.message = `${failure.message} (seed ${seed})`;
    process.stdout.write(`${cluster.lastWords()}\n`);
    throw failure;
  } finally {
    await cluster.dispose();
  }
}

async function expectAllRight(
  cluster: LocalCluster,
  ledgers: readonly Ledger[],
  killer: Killer,
): Promise<void> {
  const counts = ledgers.map((ledger) => ledger.counts);
  const sum = (key: keyof (typeof counts)[number]) =>
    counts.reduce((all, one) => all + one[key], 0);
  process.stdout.write(
    `${sum('acknowledged')} changes acknowledged, ${sum('refused')} refused, ${sum('unknown')} without an answer, ${sum('reads')} reads; killed: ${killer.summary()}\n`,
  );
  await waitUntil(
    'all programs to be back',
    async () => (await cluster.status()).nodes.up === nodes,
    { withinMs: 120_000 },
  );
  await cluster.waitForAllCopies({ withinMs: 180_000, everyMs: 250 });
  let files = 0;
  for (const ledger of ledgers) files += (await ledger.verify()).files;
  const status = await cluster.waitUntilTidy({ withinMs: 120_000 });
  expect(status.files).toBe(files);
  expect(status.blobsWithoutCopy).toBe(0);
  expect(sum('acknowledged')).toBeGreaterThan(0);
}

/** Kills a program at a random instant of a round, now and then two. */
class Killer {
  readonly #cluster: LocalCluster;
  readonly #random: () => number;
  readonly #redis: TestRedis | undefined;
  readonly #killed = new Map<string, number>();
  #ofRedis: Promise<void> = Promise.resolve();

  constructor(cluster: LocalCluster, random: () => number, redis: TestRedis | undefined) {
    this.#cluster = cluster;
    this.#random = random;
    this.#redis = redis;
  }

  async strike(): Promise<void> {
    const strikes = this.#random() < 0.6 ? 0 : this.#random() < 0.2 ? 2 : 1;
    for (let strike = 0; strike < strikes; strike += 1) {
      await delay(Math.floor(this.#random() ** 2 * 120));
      await this.#kill(this.#choose());
    }
  }

  /** Resolves when nothing that was killed is still on its way back by our hand. */
  rest = () => this.#ofRedis;

  summary = () => [...this.#killed].map(([member, count]) => `${member} ${count} times`).join(', ');

  #choose(): string {
    // The master half as often as each of the others: without it nothing is done, and its launcher lets one that dies often wait.
    const others = ['node-1', 'node-2', 'node-3', 'replicator'];
    if (this.#redis) others.push('redis', 'redis flushed');
    const choices = ['master', ...others, ...others];
    return choices[Math.floor(this.#random() * choices.length)] ?? 'master';
  }

  async #kill(member: string): Promise<void> {
    this.#killed.set(member, (this.#killed.get(member) ?? 0) + 1);
    if (member.startsWith('redis')) {
      await this.#ofRedis;
      this.#ofRedis =
        (member === 'redis' ? this.#redis?.killAndRestart() : this.#redis?.flush()) ??
        Promise.resolve();
      return;
    }
    try {
      process.kill(this.#cluster.pidOf(member), 'SIGKILL');
    } catch {
      // It is dead already and not back yet.
    }
  }
}

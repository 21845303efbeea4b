import { expect } from 'vitest';
import { contentOf, md5Of } from '../harness/content.ts';
import type { Store } from '../harness/store.ts';

/** What a path may hold: one of these MD5s; undefined stands for no file. */
type Possible = ReadonlySet<string | undefined>;

const absent: Possible = new Set([undefined]);
/** A request that got no answer in this time is cut: its outcome is unknown. */
const patienceMs = 20_000;

export interface LedgerCounts {
  acknowledged: number;
  unknown: number;
  refused: number;
  reads: number;
}

/**
 * Writes, reads and deletes files one after the other and remembers what each path may hold by now: what was acknowledged is certain, what was not may have
 * happened or not. Paths of unknown outcome are left alone until the end, since a master may still be at work on them.
 */
export class Ledger {
  readonly #store: Store;
  readonly #prefix: string;
  readonly #random: () => number;
  readonly #settled = new Map<string, Possible>();
  readonly #unsettled = new Map<string, Possible>();
  #made = 0;
  readonly counts: LedgerCounts = { acknowledged: 0, unknown: 0, refused: 0, reads: 0 };

  constructor(store: Store, prefix: string, random: () => number) {
    this.#store = store;
    this.#prefix = prefix;
    this.#random = random;
  }

  /** One deed, chosen at random. */
  async act(): Promise<void> {
    const chance = this.#random();
    const path = this.#anyPath();
    if (path === undefined || chance < 0.35) await this.#put(this.#newPath());
    else if (chance < 0.5) await this.#put(path);
    else if (chance < 0.85) await this.#read(path);
    else await this.#remove(path);
  }

  /** Reads every path there ever was; each holds what it may hold. Gives how many files there are. */
  async verify(): Promise<{ files: number }> {
    let files = 0;
    for (const [path, possible] of [...this.#settled, ...this.#unsettled]) {
      const got = await this.#store.get(path);
      const md5 = got.status === 404 ? undefined : md5Of(got.body);
      if (md5 !== undefined) files += 1;
      expect([path, got.status]).toEqual([path, md5 === undefined ? 404 : 200]);
      expect([...possible], path).toContain(md5);
    }
    return { files };
  }

  #newPath(): string {
    this.#made += 1;
    return `${this.#prefix}/${this.#made % 7}/${this.#made}.bin`;
  }

  #anyPath(): string | undefined {
    const paths = [...this.#settled.keys()];
    return paths[Math.floor(this.#random() * paths.length)];
  }

  async #put(path: string): Promise<void> {
    this.#made += 1;
    const bytes = contentOf(`${path} ${this.#made}`, this.#size());
    const md5 = md5Of(bytes);
    await this.#change(path, new Set([md5]), () =>
      this.#store.send({
        method: 'PUT',
        path: `/fs${path}`,
        body: bytes,
        headers: { 'X-DFS-MD5': md5 },
        signal: AbortSignal.timeout(patienceMs),
      }),
    );
  }

  #remove(path: string): Promise<void> {
    return this.#change(path, absent, () =>
      this.#store.send({
        method: 'DELETE',
        path: `/fs${path}`,
        signal: AbortSignal.timeout(patienceMs),
      }),
    );
  }

  async #change(
    path: string,
    wanted: Possible,
    request: () => Promise<{ status: number; text: string }>,
  ): Promise<void> {
    const before = this.#settled.get(path) ?? absent;
    try {
      const { status, text } = await request();
      // A 404 to a DELETE: it was not there, which is what was wanted.
      if (status < 300 || (wanted === absent && status === 404 && before.has(undefined))) {
        this.counts.acknowledged += 1;
        this.#settled.set(path, wanted);
        return;
      }
      expect([503, 507], `${path}: ${status} ${text}`).toContain(status);
      this.counts.refused += 1;
    } catch (error) {
      if (!isBroken(error)) throw error;
      this.counts.unknown += 1;
    }
    // A refusal binds nothing, but a lost answer may hide a success.
    this.#settled.delete(path);
    this.#unsettled.set(path, new Set([...before, ...wanted]));
  }

  async #read(path: string): Promise<void> {
    const possible = this.#settled.get(path) ?? absent;
    try {
      const got = await this.#store.send({
        path: `/fs${path}`,
        signal: AbortSignal.timeout(patienceMs),
      });
      this.counts.reads += 1;
      if (got.status === 503) return;
      const md5 = got.status === 404 ? undefined : md5Of(got.body);
      expect([200, 404], `${path}: ${got.text.slice(0, 500)}`).toContain(got.status);
      expect([...possible], `${path} while everything breaks`).toContain(md5);
    } catch (error) {
      if (!isBroken(error)) throw error;
    }
  }

  #size(): number {
    const chance = this.#random();
    if (chance < 0.05) return 0;
    if (chance < 0.7) return Math.floor(this.#random() * 60_000);
    if (chance < 0.95) return Math.floor(this.#random() * 1_200_000);
    return Math.floor(this.#random() * 5_000_000);
  }
}

/** The connection failed, or the test's own patience ended. Anything else is a fault of the test or of the store. */
function isBroken(error: unknown): boolean {
  const { code, name } = error as { code?: string; name?: string };
  if (name === 'AbortError' || name === 'TimeoutError') return true;
  return ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ECONNABORTED'].includes(code ?? '');
}

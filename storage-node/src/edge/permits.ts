import { createHash } from 'node:crypto';
import {
  type Clock,
  type JudgedHeaders,
  type Opening,
  type ReadAnswer,
  type ReadPermit,
  type ReadQuestion,
  StoreError,
} from '@dfs/shared';
import { silentMaster } from './silent-master.ts';

/** So much is remembered: a permit weighs one and as many as its file has blobs. */
const weightMax = 20_000;
/** A master that gave no answer is not asked again for so long, so that not every reader waits for it. */
const silenceMs = 1_000;

export interface PermitsDependencies {
  /** Asks the master. Rejects with `unavailable` when it gives no answer. */
  readonly ask: (question: ReadQuestion) => Promise<ReadAnswer>;
  readonly clock: Pick<Clock, 'now' | 'monotonic'>;
  /** How long after it was given a permit counts while the master is silent, ms. */
  readonly offlineRightsMs: number;
  /** Whether the cluster has a key: without one the host and the origin of a request decide who asks. */
  readonly hasKey: () => boolean;
}

interface Remembered {
  readonly permit: ReadPermit;
  /** By the monotonic clock. */
  readonly givenAtMs: number;
}

/**
 * What the master permitted, remembered for a short time: while it answers for as long as it said, while it is silent for public files, links and grants alone, and no longer than
 * `offlineRightsMs` after it said so. Refusals are never remembered.
 */
export class Permits {
  readonly #deps: PermitsDependencies;
  /** The one that was used longest ago first. */
  readonly #remembered = new Map<string, Remembered>();
  readonly #asked = new Map<string, Promise<ReadAnswer>>();
  #weight = 0;
  #silentUntilMs = 0;

  constructor(dependencies: PermitsDependencies) {
    this.#deps = dependencies;
  }

  /**
   * The master's answer, now or not long ago. Rejects with `unavailable` when it gives none and nothing that it said before counts, and with what else it refuses to
   * say.
   */
  async find(question: ReadQuestion): Promise<ReadAnswer> {
    const { clock } = this.#deps;
    const places = this.#placesOf(question);
    const known = this.#recall(places);
    if (known && clock.monotonic() - known.givenAtMs < known.permit.validForMs) return known.permit;
    if (clock.monotonic() < this.#silentUntilMs) return this.#offline(known);
    try {
      return await this.#ask(question, places);
    } catch (error) {
      if (!isSilence(error)) throw error;
      this.#silentUntilMs = clock.monotonic() + silenceMs;
      return this.#offline(known, error);
    }
  }

  /** The master's answer of this moment, for a reader whose sources failed. Rejects as `find`, without looking back. */
  async findAnew(question: ReadQuestion): Promise<ReadAnswer> {
    try {
      return await this.#ask(question, this.#placesOf(question));
    } catch (error) {
      throw isSilence(error) ? silentMaster(error) : error;
    }
  }

  /** Questions for the same thing that come while one is asked wait for its answer. */
  #ask(question: ReadQuestion, places: Places): Promise<ReadAnswer> {
    const { own } = places;
    const asked = this.#asked.get(own);
    if (asked !== undefined) return asked;
    const answer = this.#deps.ask(question).then((said) => {
      this.#learn(places, said);
      return said;
    });
    this.#asked.set(own, answer);
    const done = () => this.#asked.delete(own);
    answer.then(done, done);
    return answer;
  }

  #recall({ own, shared }: Places): Remembered | undefined {
    const place = this.#remembered.has(own) ? own : shared;
    const known = place === undefined ? undefined : this.#remembered.get(place);
    if (place === undefined || !known) return undefined;
    this.#remembered.delete(place);
    this.#remembered.set(place, known);
    return known;
  }

  #learn({ own, shared }: Places, answer: ReadAnswer): void {
    this.#forget(own);
    if (shared !== undefined) this.#forget(shared);
    if (answer.kind !== 'read') return;
    // What all may read without a key is remembered once for all of them.
    const place = answer.opening.kind === 'public' && shared !== undefined ? shared : own;
    this.#remembered.set(place, { permit: answer, givenAtMs: this.#deps.clock.monotonic() });
    this.#weight += weightOf(answer);
    for (const oldest of this.#remembered.keys()) {
      if (this.#weight <= weightMax) break;
      this.#forget(oldest);
    }
  }

  #forget(place: string): void {
    const known = this.#remembered.get(place);
    if (!known) return;
    this.#remembered.delete(place);
    this.#weight -= weightOf(known.permit);
  }

  #offline(known: Remembered | undefined, cause?: unknown): ReadPermit {
    const { clock, offlineRightsMs } = this.#deps;
    const mayCount =
      known !== undefined &&
      clock.monotonic() - known.givenAtMs <= offlineRightsMs &&
      lastsBy(known.permit.opening, clock.now());
    if (mayCount) return known.permit;
    throw silentMaster(cause);
  }

  /** Where an answer is remembered: for whoever asks like this, and, where no key is sent, for all who ask without one. */
  #placesOf({ target, headers, clientAddress }: ReadQuestion): Places {
    const isKeyless =
      this.#deps.hasKey() &&
      headers.authorization === undefined &&
      headers['shard-key'] === undefined;
    const own = digestOf([target, clientAddress, ...judged.map((name) => headers[name] ?? null)]);
    return isKeyless ? { own, shared: digestOf([target]) } : { own };
  }
}

const isSilence = (error: unknown) => error instanceof StoreError && error.kind === 'unavailable';

interface Places {
  readonly own: string;
  readonly shared?: string;
}

const judged = [
  'authorization',
  'shard-key',
  'host',
  'origin',
  'sec-fetch-site',
] as const satisfies readonly (keyof JudgedHeaders)[];

/** Targets may be long, and keys are not kept as they are. */
const digestOf = (parts: readonly unknown[]) =>
  createHash('sha256').update(JSON.stringify(parts)).digest('base64');

const weightOf = ({ file }: ReadPermit) => 1 + file.blobs.length;

/** Whether an opening holds at that time by itself. A right hangs on a key, which may be gone. */
function lastsBy(opening: Opening, nowMs: number): boolean {
  if (opening.kind === 'public') return true;
  return opening.kind !== 'right' && opening.expiresAtMs > nowMs;
}

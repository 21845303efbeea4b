import { createHash, randomBytes } from 'node:crypto';
import { Agent, request as httpRequest } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { LoadTarget } from './load-messages.ts';

export interface HealLoadFigures {
  readonly reads: number;
  readonly writes: number;
  readonly failedReads: readonly string[];
  readonly failedWrites: readonly string[];
  readonly slowestReadMs: number;
  readonly slowestWriteMs: number;
}

interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

const answerMaxMs = 60_000;
const failuresKept = 20;

/** A store with files whose MD5s are known, read and written all the time. Nothing is tried a second time: what fails is counted. */
export class HealLoad {
  readonly #target: LoadTarget;
  readonly #sizeBytes: number;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 32 });
  /** By path; what was acknowledged. */
  readonly #files = new Map<string, string>();
  readonly #paths: string[] = [];
  readonly #failedReads: string[] = [];
  readonly #failedWrites: string[] = [];
  #reads = 0;
  #writes = 0;
  #slowestReadMs = 0;
  #slowestWriteMs = 0;
  #isStopped = false;

  constructor(target: LoadTarget, sizeBytes: number) {
    this.#target = target;
    this.#sizeBytes = sizeBytes;
  }

  /** Stores so many files, each on two nodes before it counts as stored. Rejects when one cannot be. */
  async fill(count: number, lanes: number): Promise<void> {
    let next = 0;
    const lane = async () => {
      while (next < count) {
        const number = next;
        next += 1;
        await this.#put(`/heal/kept/${Math.floor(number / 500)}/${number}`);
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    const [failure] = this.#failedWrites;
    if (failure !== undefined) throw new Error(`The store could not be filled: ${failure}`);
    this.#writes = 0;
    this.#slowestWriteMs = 0;
  }

  /** Reads and writes until `stop`; resolves with the figures once all requests have ended. */
  async run({ readers, writers }: { readers: number; writers: number }): Promise<HealLoadFigures> {
    const lane = (work: () => Promise<void>) => async () => {
      while (!this.#isStopped) await work();
    };
    let written = 0;
    const write = () => {
      written += 1;
      return this.#put(`/heal/meanwhile/${Math.floor(written / 500)}/${written}`);
    };
    await Promise.all([
      ...Array.from({ length: readers }, () => lane(() => this.#readAny())()),
      ...Array.from({ length: writers }, () => lane(write)()),
    ]);
    return {
      reads: this.#reads,
      writes: this.#writes,
      failedReads: this.#failedReads,
      failedWrites: this.#failedWrites,
      slowestReadMs: Math.round(this.#slowestReadMs),
      slowestWriteMs: Math.round(this.#slowestWriteMs),
    };
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Every file that was acknowledged is read once; gives those that could not be, or were others. */
  async verify(lanes: number): Promise<string[]> {
    const before = this.#failedReads.length;
    const rest = [...this.#paths];
    const lane = async () => {
      for (let path = rest.pop(); path !== undefined; path = rest.pop()) await this.#read(path);
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    return this.#failedReads.slice(before);
  }

  close(): void {
    this.#agent.destroy();
  }

  async #put(path: string): Promise<void> {
    const body = randomBytes(this.#sizeBytes);
    const startedAtMs = performance.now();
    this.#writes += 1;
    try {
      const answer = await this.#ask('PUT', `/fs${path}?minCopies=2`, body);
      if (answer.status !== 201) throw new Error(`${answer.status} ${answer.body.toString()}`);
      this.#files.set(path, md5Of(body));
      this.#paths.push(path);
    } catch (error) {
      note(this.#failedWrites, `${path}: ${(error as Error).message}`);
      // A store that refuses at once must not be asked as fast as it can refuse.
      await delay(50);
    }
    this.#slowestWriteMs = Math.max(this.#slowestWriteMs, performance.now() - startedAtMs);
  }

  async #readAny(): Promise<void> {
    const path = this.#paths[Math.floor(Math.random() * this.#paths.length)];
    if (path !== undefined) await this.#read(path);
  }

  async #read(path: string): Promise<void> {
    const startedAtMs = performance.now();
    this.#reads += 1;
    try {
      const { status, body } = await this.#ask('GET', `/fs${path}`);
      if (status !== 200) throw new Error(`${status} ${body.toString()}`);
      if (md5Of(body) !== this.#files.get(path)) throw new Error('other bytes than were stored');
    } catch (error) {
      note(this.#failedReads, `${path}: ${(error as Error).message}`);
      await delay(50);
    }
    this.#slowestReadMs = Math.max(this.#slowestReadMs, performance.now() - startedAtMs);
  }

  #ask(method: string, path: string, body?: Buffer): Promise<Answer> {
    const { host, port, authorization } = this.#target;
    return new Promise((resolve, reject) => {
      const headers = {
        Authorization: authorization,
        ...(body === undefined ? {} : { 'Content-Length': body.byteLength }),
      };
      const sent = httpRequest(
        { host, port, method, path, headers, agent: this.#agent },
        (response) => {
          const parts: Buffer[] = [];
          response.on('data', (part: Buffer) => parts.push(part));
          response.on('error', reject);
          response.on('end', () => {
            resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts) });
          });
        },
      );
      sent.setTimeout(answerMaxMs, () => sent.destroy(new Error('no answer for a minute')));
      sent.on('error', reject);
      sent.end(body);
    });
  }
}

const md5Of = (bytes: Buffer) => createHash('md5').update(bytes).digest('hex');

function note(failures: string[], failure: string): void {
  // All are counted; of many the first say enough.
  failures.push(failures.length < failuresKept ? failure.slice(0, 300) : '');
}

import { type Clock, type NodeId, StoreError } from '@dfs/shared';
import type { Database, Sql } from './database.ts';
import { storeErrorOf } from './database-errors.ts';
import { Draft } from './draft/draft.ts';
import { loadMissing } from './draft/draft-loader.ts';
import { writeDraft } from './draft/draft-writer.ts';
import type { MetadataCaches } from './metadata-caches.ts';

/** One write of the repository. */
export interface WriteOperation<Result> {
  /** About how many rows it touches: a batch is limited by their sum. */
  readonly rows: number;
  /** Goes into no batch with others: it queries more than it can say to `decide`. */
  readonly isAlone?: boolean;
  /** Queries that tell which rows matter, where keys alone do not. What they change is committed at the latest with the batch. */
  prepare?(sql: Sql): Promise<void>;
  /** Decides on the rows. Called again when rows were missing, so it changes nothing but the draft. A throw leaves nothing of it. */
  decide(draft: Draft): Result;
}

export interface GroupCommitParts {
  readonly database: Database;
  readonly clock: Clock;
  readonly logger?: { warn(message: string, fields?: Readonly<Record<string, unknown>>): void };
  readonly caches: MetadataCaches;
  /** Hears the number of the journal's newest row after each commit that wrote one. */
  readonly onJournal?: (number: number) => void;
  /** How many copies are wanted where no directory and no file says a number. */
  readonly configuredCopies: number;
}

interface Waiting {
  readonly operation: WriteOperation<unknown>;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

type Outcome = { readonly result: unknown } | { readonly error: unknown };

const batchRowsMax = 1_000;
const waitingMax = 20_000;

/**
 * Commits writes together: what waits while a transaction runs goes into the next one, in order of arrival; nobody waits for a timer.
 * A batch reads the rows its operations touch, decides each outcome in memory and writes them with a few statements. When that fails
 * unexpectedly, its operations run again one by one, so that a bad one fails alone.
 */
export class GroupCommit {
  readonly #parts: GroupCommitParts;
  /** Copies on these do not count as living. */
  lostNodes: ReadonlySet<NodeId> = new Set();
  readonly #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;
  #isClosed = false;
  #isSuspended = false;
  #journalNumber = 0;
  /** The writing connection on which the number was read; 0: it must be read anew. */
  #session = 0;

  constructor(parts: GroupCommitParts) {
    this.#parts = parts;
  }

  /** False when no directory waits to be swept: then nothing that moves can have been passed over. */
  mayHaveSweeps = true;

  /** Of the newest row of the journal that is committed. */
  get journalNumber(): number {
    return this.#journalNumber;
  }

  /**
   * Resolves once the operation is on disk. Rejects with what its decision threw, with `unavailable` when the database does not answer (it is then
   * not known whether the operation took place) or too many wait.
   */
  submit<Result>(operation: WriteOperation<Result>): Promise<Result> {
    if (this.#isClosed) return Promise.reject(closed());
    if (this.#isSuspended) return Promise.reject(beingRestored());
    if (this.#waiting.length >= waitingMax) return Promise.reject(tooMany());
    const result = new Promise<unknown>((resolve, reject) => {
      this.#waiting.push({ operation, resolve, reject });
    });
    this.#running ??= this.#run();
    return result as Promise<Result>;
  }

  /** Commits what waits and refuses all others with `in-recovery` until `resume`: the tables are rebuilt by other means. */
  async suspend(): Promise<void> {
    this.#isSuspended = true;
    await this.#running;
  }

  resume(): void {
    // Whatever was known of the tables may be wrong now.
    this.#session = 0;
    // A restore may begin the journal anew.
    this.#journalNumber = 0;
    this.mayHaveSweeps = true;
    this.#parts.caches.clear();
    this.#isSuspended = false;
  }

  /** Commits what waits and takes no more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      // One turn of the loop: what arrived together is committed together.
      await new Promise(setImmediate);
      await this.#commit(this.#takeBatch());
    }
    this.#running = undefined;
  }

  #takeBatch(): Waiting[] {
    let rows = 0;
    const first = this.#waiting[0]?.operation;
    const end = this.#waiting.findIndex(({ operation }, index) => {
      rows += operation.rows;
      const isApart = rows > batchRowsMax || first?.isAlone || operation.isAlone;
      return index > 0 && isApart;
    });
    return this.#waiting.splice(0, end < 0 ? this.#waiting.length : end);
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    let written: { draft: Draft; outcomes: readonly Outcome[]; journalNumber: number };
    try {
      written = await this.#parts.database.write(async (sql) => {
        await this.#followSession(sql);
        const draft = this.#newDraft();
        const outcomes = await decideAll(sql, batch, draft);
        this.#parts.caches.expect(draft);
        const number = await writeDraft(sql, draft, this.#journalNumber, this.#parts.caches);
        return { draft, outcomes, journalNumber: number };
      });
    } catch (error) {
      this.#parts.caches.settle();
      await this.#handleFailure(batch, storeErrorOf(error));
      return;
    }
    const isLonger = written.journalNumber > this.#journalNumber;
    this.#journalNumber = written.journalNumber;
    this.mayHaveSweeps ||= written.draft.sweeps.changes().some(({ after }) => after !== null);
    // Before anyone hears of it: who knows that a write took place must read it.
    this.#parts.caches.accept(written.draft);
    this.#parts.caches.settle();
    if (isLonger) this.#parts.onJournal?.(written.journalNumber);
    settle(batch, written.outcomes);
  }

  /** Only this process writes, and the caches follow each commit: directories found in them are as they are in the database. */
  #newDraft(): Draft {
    const { clock, caches, configuredCopies } = this.#parts;
    return new Draft({
      nowMs: clock.now(),
      configuredCopies,
      lostNodes: this.lostNodes,
      mayHaveSweeps: this.mayHaveSweeps,
      directoryOf: (key) => {
        const entry = caches.entries.get(key);
        return entry?.kind === 'directory' ? entry : undefined;
      },
    });
  }

  async #handleFailure(batch: readonly Waiting[], error: StoreError): Promise<void> {
    // A commit that got no answer may have taken place, so it is not tried again. What was refused did not.
    if (error.kind === 'unavailable') this.#session = 0;
    if (batch.length === 1 || error.kind === 'unavailable') {
      for (const { reject } of batch) reject(error);
      return;
    }
    this.#parts.logger?.warn('a batch of writes failed and is run one by one', {
      operations: batch.length,
      error,
    });
    for (const one of batch) await this.#commit([one]);
  }

  /** After a new connection, and after a commit with an unknown end, the journal alone knows where it stands. */
  async #followSession(sql: Sql): Promise<void> {
    const session = this.#parts.database.writerSessions;
    if (this.#session === session) return;
    const [row] = await sql.rows<{ number: number | null }>(
      'select max(number) as number from changes',
    );
    const number = row?.number ?? 0;
    if (number < this.#journalNumber) throw commitsLost(number, this.#journalNumber);
    this.#journalNumber = number;
    this.#parts.caches.clear();
    this.#session = session;
  }
}

async function decideAll(sql: Sql, batch: readonly Waiting[], draft: Draft): Promise<Outcome[]> {
  for (const { operation } of batch) await operation.prepare?.(sql);
  for (;;) {
    draft.restart();
    const outcomes = batch.map(({ operation }) => attempt(draft, operation));
    if (!draft.isMissingRows) return outcomes;
    await loadMissing(sql, draft);
  }
}

function attempt(draft: Draft, operation: WriteOperation<unknown>): Outcome {
  try {
    return { result: draft.attempt(() => operation.decide(draft)) };
  } catch (error) {
    return { error };
  }
}

function settle(batch: readonly Waiting[], outcomes: readonly Outcome[]): void {
  for (const [index, { resolve, reject }] of batch.entries()) {
    const outcome = outcomes[index];
    if (outcome && 'result' in outcome) resolve(outcome.result);
    else reject(outcome?.error);
  }
}

/** What was acknowledged is not there any more: a standby took over that had not got it, or another database stands in its place. */
const commitsLost = (number: number, known: number) =>
  new StoreError(
    'unavailable',
    `The metadata database ends at change ${number}, and change ${known} was committed: it has lost changes.`,
    {
      hint: 'Bring back the database that has them, or start the master anew and run "dfs restore".',
    },
  );

const closed = () => new StoreError('unavailable', 'The metadata database is closed.');
const beingRestored = () =>
  new StoreError('in-recovery', 'The metadata database is being restored.', {
    hint: 'Wait for "dfs restore" to end; when it broke off, run it again.',
    retryAfterSeconds: 30,
  });
const tooMany = () =>
  new StoreError('unavailable', 'Too many writes wait for the metadata database.', {
    hint: 'Try again in a moment.',
    retryAfterSeconds: 1,
  });

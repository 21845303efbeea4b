import { type BlobId, StoreError } from '@dfs/shared';

/** One writer's turn at a blob's id. It can be told to give up until it commits. */
export class WriteTurn {
  #reason: StoreError | undefined;
  #onCancel: (reason: StoreError) => void = () => undefined;

  cancel(reason: StoreError): void {
    this.#reason ??= reason;
    this.#onCancel(this.#reason);
  }

  /** `stop` ends what the writer waits for; called at once when it was cancelled before. */
  whenCancelled(stop: (reason: StoreError) => void): void {
    this.#onCancel = stop;
    if (this.#reason) stop(this.#reason);
  }

  /** Throws why this turn was cancelled, if it was. */
  check(): void {
    if (this.#reason) throw this.#reason;
  }
}

export interface TurnOptions {
  /** Its abort cancels the turn. */
  readonly signal?: AbortSignal | undefined;
  /** False for a drop: others who drop the same blob leave it alone. By default true. */
  readonly isCancellable?: boolean;
}

interface Line {
  /** Settles when the last of the line is through. */
  end: Promise<unknown>;
  readonly turns: Set<WriteTurn>;
  readonly cancellable: Set<WriteTurn>;
}

/**
 * One writer at a time for each blob: puts, pulls and deletes of one id take turns, those of
 * different ids do not meet.
 */
export class WriteTurns {
  readonly #lines = new Map<BlobId, Line>();

  /** Runs `work` when all earlier ones of this id have ended. */
  async take<Result>(
    id: BlobId,
    { signal, isCancellable = true }: TurnOptions,
    work: (turn: WriteTurn) => Promise<Result>,
  ): Promise<Result> {
    const turn = new WriteTurn();
    const cancel = () => turn.cancel(cancelled(signal?.reason));
    if (signal?.aborted) cancel();
    else signal?.addEventListener('abort', cancel, { once: true });
    const line = this.#lineOf(id);
    const run = async () => {
      turn.check();
      return work(turn);
    };
    const result = line.turns.size === 0 ? run() : line.end.then(run);
    line.turns.add(turn);
    if (isCancellable) line.cancellable.add(turn);
    line.end = result.catch(() => undefined);
    try {
      return await result;
    } finally {
      signal?.removeEventListener('abort', cancel);
      line.turns.delete(turn);
      line.cancellable.delete(turn);
      if (line.turns.size === 0) this.#lines.delete(id);
    }
  }

  /** Cancels all who write this blob or wait to. */
  cancel(id: BlobId, reason: StoreError): void {
    for (const turn of this.#lines.get(id)?.cancellable ?? []) turn.cancel(reason);
  }

  #lineOf(id: BlobId): Line {
    const known = this.#lines.get(id);
    if (known) return known;
    const line = {
      end: Promise.resolve(),
      turns: new Set<WriteTurn>(),
      cancellable: new Set<WriteTurn>(),
    };
    this.#lines.set(id, line);
    return line;
  }
}

export const cancelled = (cause?: unknown) =>
  new StoreError('cancelled', 'The request was cancelled.', { cause });

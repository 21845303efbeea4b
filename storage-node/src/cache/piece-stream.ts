import { Readable } from 'node:stream';
import { cancelled } from '../write-turns.ts';

/**
 * A stream of what `pieces` gives, once the first of them is there; rejects with what they reject
 * with before. `stopping` is aborted when the stream ends in any way, or with `signal`.
 */
export async function openPieces(
  pieces: AsyncGenerator<Buffer, void>,
  stopping: AbortController,
  signal: AbortSignal | undefined,
): Promise<Readable> {
  const stop = () => stopping.abort(cancelled(signal?.reason));
  if (signal?.aborted) stop();
  signal?.addEventListener('abort', stop, { once: true });
  const end = () => {
    signal?.removeEventListener('abort', stop);
    stopping.abort();
    pieces.return().catch(() => undefined);
  };
  try {
    const first = await pieces.next();
    const stream = new PieceStream(first, pieces);
    stopping.signal.addEventListener('abort', () => stream.destroy(stopping.signal.reason), {
      once: true,
    });
    stream.once('close', end);
    return stream;
  } catch (error) {
    end();
    throw error;
  }
}

class PieceStream extends Readable {
  readonly #pieces: AsyncGenerator<Buffer, void>;
  #first: IteratorResult<Buffer, void> | undefined;

  constructor(first: IteratorResult<Buffer, void>, pieces: AsyncGenerator<Buffer, void>) {
    // The next piece is made while one is on its way.
    super({ highWaterMark: 1 });
    this.#first = first;
    this.#pieces = pieces;
  }

  override _read(): void {
    const first = this.#first;
    this.#first = undefined;
    const next = first ? Promise.resolve(first) : this.#pieces.next();
    next.then(
      ({ done, value }) => this.push(done ? null : value),
      (error) => this.destroy(error as Error),
    );
  }
}

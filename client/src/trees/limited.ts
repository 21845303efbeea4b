/** Runs work, so many pieces at a time. */
export class Limited {
  readonly #most: number;
  readonly #running = new Set<Promise<void>>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Begins it, as soon as there is room; resolves then. The work says itself what became of it: it does not reject. */
  async begin(work: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.#most) await Promise.race(this.#running);
    const running = work().finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Resolves when all that was begun is done. */
  async drain(): Promise<void> {
    while (this.#running.size > 0) await Promise.race(this.#running);
  }
}

/** Turns each into another, several at a time, and gives them in the order in which they came. */
export async function* mapInOrder<A, B>(
  from: AsyncIterable<A>,
  most: number,
  turn: (item: A) => Promise<B>,
): AsyncGenerator<B> {
  const begun: Promise<B>[] = [];
  try {
    for await (const item of from) {
      const turned = turn(item);
      // It is awaited in its turn; until then its failure is no loose end.
      turned.catch(() => {});
      begun.push(turned);
      if (begun.length >= most) yield await (begun.shift() as Promise<B>);
    }
    while (begun.length > 0) yield await (begun.shift() as Promise<B>);
  } finally {
    await Promise.allSettled(begun);
  }
}

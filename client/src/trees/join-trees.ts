import { compareTreePaths } from './tree-order.ts';

/** What two trees have at one path; at least one of them has something. */
export interface Joined<A, B> {
  readonly path: string;
  readonly left: A | undefined;
  readonly right: B | undefined;
}

interface AtPath {
  readonly path: string;
}

/** Walks two trees side by side, path by path, holding one entry of each. Rejects when a side is out of order, since what is missing could not be told then. */
export async function* joinTrees<A extends AtPath, B extends AtPath>(
  left: AsyncIterable<A>,
  right: AsyncIterable<B>,
): AsyncGenerator<Joined<A, B>> {
  const [a, b] = [inOrder(left), inOrder(right)];
  try {
    let [{ entry: x }, { entry: y }] = await Promise.all([next(a), next(b)]);
    while (x !== undefined || y !== undefined) {
      const order = x === undefined ? 1 : y === undefined ? -1 : compareTreePaths(x.path, y.path);
      const path = ((order <= 0 ? x : y) as AtPath).path;
      yield { path, left: order <= 0 ? x : undefined, right: order >= 0 ? y : undefined };
      if (order <= 0) x = (await next(a)).entry;
      if (order >= 0) y = (await next(b)).entry;
    }
  } finally {
    await Promise.allSettled([a.return(undefined), b.return(undefined)]);
  }
}

async function next<T>(entries: AsyncGenerator<T>): Promise<{ entry: T | undefined }> {
  const { value, done } = await entries.next();
  return { entry: done ? undefined : value };
}

/** The same, proved to be in the order of trees. */
export async function* inOrder<T extends AtPath>(entries: AsyncIterable<T>): AsyncGenerator<T> {
  let last: string | undefined;
  for await (const entry of entries) {
    if (last !== undefined && compareTreePaths(last, entry.path) >= 0) {
      throw new Error(`A walk gave ${JSON.stringify(entry.path)} after ${JSON.stringify(last)}.`);
    }
    last = entry.path;
    yield entry;
  }
}

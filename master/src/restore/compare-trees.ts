import { type RestoreDifferences, rootPath } from '@dfs/shared';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import type { WalkedEntry } from '../metadata/working-tree.ts';
import { Listed } from './place-found.ts';

type Walkable = Pick<MetadataRepository, 'walkTree'>;

/** How two trees differ, path by path, in the memory of a page of each. */
export async function compareTrees(
  database: Walkable,
  onNodes: Walkable,
  tell: (paths: number) => void,
): Promise<RestoreDifferences> {
  const [mine, theirs] = [new Walk(database), new Walk(onNodes)];
  const lists = {
    onlyInDatabase: new Listed<string>(),
    onlyOnNodes: new Listed<string>(),
    different: new Listed<string>(),
  };
  let paths = 0;
  for (;;) {
    const [a, b] = [await mine.peek(), await theirs.peek()];
    if (!a && !b) break;
    const order = !a ? 1 : !b ? -1 : orderOfPaths(a.path, b.path);
    if (order < 0 && a) lists.onlyInDatabase.add(a.path);
    if (order > 0 && b) lists.onlyOnNodes.add(b.path);
    if (order === 0 && a && b && isDifferent(a, b)) lists.different.add(a.path);
    if (order <= 0) mine.take();
    if (order >= 0) theirs.take();
    paths += 1;
    if (paths % 10_000 === 0) tell(paths);
  }
  const pathsOf = ({ count, items }: Listed<string>) => ({ count, paths: items });
  return {
    onlyInDatabase: pathsOf(lists.onlyInDatabase),
    onlyOnNodes: pathsOf(lists.onlyOnNodes),
    different: pathsOf(lists.different),
  };
}

const isDifferent = (a: WalkedEntry, b: WalkedEntry) =>
  a.kind !== b.kind || a.file?.md5 !== b.file?.md5;

/** The order in which a walk goes: name by name, by their bytes. */
function orderOfPaths(a: string, b: string): number {
  const [left, right] = [a.split('/'), b.split('/')];
  for (let depth = 0; depth < Math.min(left.length, right.length); depth += 1) {
    const order = Buffer.compare(Buffer.from(left[depth] ?? ''), Buffer.from(right[depth] ?? ''));
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

/** A walk that can be looked at before it goes on. */
class Walk {
  readonly #pages: AsyncIterator<readonly WalkedEntry[]>;
  #page: readonly WalkedEntry[] = [];
  #next = 0;
  #isOver = false;

  constructor(metadata: Walkable) {
    this.#pages = metadata.walkTree(rootPath)[Symbol.asyncIterator]();
  }

  async peek(): Promise<WalkedEntry | undefined> {
    while (this.#next >= this.#page.length && !this.#isOver) {
      const { value, done } = await this.#pages.next();
      this.#isOver = done === true;
      this.#page = done === true ? [] : value;
      this.#next = 0;
    }
    return this.#page[this.#next];
  }

  take(): void {
    this.#next += 1;
  }
}

import { type EntryId, StoreError } from '@dfs/shared';
import type { Database } from './database.ts';
import {
  type DirectoryCopy,
  decideAbandonment,
  decideCopyPage,
  decideCopyStart,
  decidePublication,
  type HiddenCopy,
} from './decisions/copying.ts';
import type { GroupCommit } from './group-commit.ts';
import type { CopyFailure, CopyOutcome, CopyRequest } from './working-tree.ts';

/** Rows written in one transaction, about. */
const rowsMax = 900;
const failuresMax = 1_000;

/** What is left to do of one directory. */
interface Task extends DirectoryCopy {
  /** The last name copied. */
  readonly after: string;
}

/** Names of one directory that are copied in one transaction. */
interface Page {
  readonly task: Task;
  readonly names: readonly string[];
  readonly rows: number;
  /** More may follow. */
  readonly isWhole: boolean;
}

/** Makes one copy, as `WorkingTree.copyEntry` promises. */
export class TreeCopy {
  readonly #database: Database;
  readonly #writes: GroupCommit;
  readonly #request: CopyRequest;
  /** Directories to be copied, the deepest last: their number grows with the depth and with what one transaction finds, not with the tree. */
  readonly #tasks: Task[] = [];
  readonly #failures: CopyFailure[] = [];
  #failuresUnnamed = 0;

  constructor(database: Database, writes: GroupCommit, request: CopyRequest) {
    this.#database = database;
    this.#writes = writes;
    this.#request = request;
  }

  async run(): Promise<CopyOutcome> {
    this.#mustGoOn();
    const request = this.#request;
    const start = await this.#writes.submit({
      rows: 1,
      decide: (draft) => decideCopyStart(draft, request),
    });
    const { hidden } = start;
    if (hidden === undefined) return { isNew: start.isNew, failures: [] };
    try {
      await this.#build(hidden);
      const { isNew } = await this.#writes.submit({
        rows: 1,
        decide: (draft) => decidePublication(draft, hidden, request),
      });
      return { isNew, failures: this.#failuresTold() };
    } catch (error) {
      await this.#abandon(hidden.id);
      throw error;
    }
  }

  async #build({ id, sourceId, copies }: HiddenCopy): Promise<void> {
    this.#tasks.push({ sourceId, targetId: id, path: this.#request.to, copies, after: '' });
    while (this.#tasks.length > 0) {
      this.#mustGoOn();
      await this.#copySome(id);
    }
    this.#mustGoOn();
  }

  /** One transaction: parts of as many directories as it holds. */
  async #copySome(hiddenId: EntryId): Promise<void> {
    const pages: Page[] = [];
    for (let rows = 0; rows < rowsMax; ) {
      const task = this.#tasks.pop();
      if (!task) break;
      const page = await this.#readPage(task, rowsMax - rows);
      rows += page.rows;
      pages.push(page);
    }
    const copied = await this.#writes.submit({
      rows: pages.reduce((sum, page) => sum + page.rows, 0),
      decide: (draft) =>
        draft.each(pages, ({ task, names }) => decideCopyPage(draft, hiddenId, task, names)),
    });
    for (const { task, names, isWhole } of pages) {
      if (!isWhole) this.#tasks.push({ ...task, after: names.at(-1) ?? task.after });
    }
    for (const { directories, failures } of copied) {
      for (const directory of directories) this.#tasks.push({ ...directory, after: '' });
      const named = failures.slice(0, failuresMax - this.#failures.length);
      this.#failures.push(...named);
      this.#failuresUnnamed += failures.length - named.length;
    }
  }

  /** The copy itself stands for those that are not named. */
  #failuresTold(): CopyFailure[] {
    const more = this.#failuresUnnamed;
    if (more === 0) return this.#failures;
    const { to } = this.#request;
    const text = `${more} more parts failed; the first ${failuresMax} are named.`;
    return [...this.#failures, { path: to, error: new StoreError('conflict', text) }];
  }

  /** As many names as make about so many rows, and one at least. */
  async #readPage(task: Task, rowsLeft: number): Promise<Page> {
    const limit = Math.ceil(rowsLeft / 2);
    const found = await this.#database.rows<{ name: string; blobs: number }>(
      `select e.name, (select count(*) from file_blobs fb where fb.file_id = e.file_id) as blobs
       from entries e where e.parent_id = ? and e.name > ? order by e.name limit ?`,
      [task.sourceId, task.after, limit],
    );
    const names: string[] = [];
    // The directory itself was read.
    let rows = 1;
    for (const { name, blobs } of found) {
      // An entry and a size, or an entry, a content and its blobs, some of which want more copies than before.
      const more = 2 + 2 * blobs;
      if (names.length > 0 && rows + more > rowsLeft) {
        return { task, names, rows, isWhole: false };
      }
      names.push(name);
      rows += more;
    }
    return { task, names, rows, isWhole: found.length < limit };
  }

  #mustGoOn(): void {
    const { signal, from } = this.#request;
    if (!signal?.aborted) return;
    const { reason } = signal;
    throw new StoreError('cancelled', `The copy of ${from} was broken off.`, { cause: reason });
  }

  /** Where this fails, it expires. */
  async #abandon(hiddenId: EntryId): Promise<void> {
    const submitted = this.#writes.submit({
      rows: 1,
      decide: (draft) => decideAbandonment(draft, hiddenId),
    });
    await submitted.catch(() => undefined);
  }
}

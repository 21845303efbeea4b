import type { JournalSource } from '../metadata/journal-source.ts';

/** Of one request to a keeper. */
const pageBytes = 2 ** 20;
/** Keepers are mostly at one place, so that few pages serve all. */
const heldPages = 4;

export interface JournalPage {
  readonly first: number;
  readonly last: number;
  readonly lines: readonly string[];
  readonly sizeBytes: number;
}

/** Pages of the journal as they were read from the database, so that several keepers cost one reading. A committed change never becomes another one. */
export class JournalPages {
  readonly #source: Pick<JournalSource, 'journalLines'>;
  #pages: { readonly key: string; readonly page: Promise<JournalPage | undefined> }[] = [];

  constructor(source: Pick<JournalSource, 'journalLines'>) {
    this.#source = source;
  }

  /** The changes after this number, about a megabyte of them; undefined: there are none. */
  after(number: number, epoch: number): Promise<JournalPage | undefined> {
    const key = `${epoch}-${number}`;
    const held = this.#pages.find((each) => each.key === key);
    if (held) return held.page;
    const page = this.#read(number);
    const entry = { key, page };
    this.#pages = [entry, ...this.#pages].slice(0, heldPages);
    const forget = () => {
      this.#pages = this.#pages.filter((each) => each !== entry);
    };
    page.then((read) => read ?? forget(), forget);
    return page;
  }

  async #read(after: number): Promise<JournalPage | undefined> {
    const rows = await this.#source.journalLines(after, pageBytes);
    const [first, last] = [rows[0], rows.at(-1)];
    if (!first || !last) return undefined;
    const lines = rows.map(({ line }) => line);
    const sizeBytes = lines.reduce((sum, line) => sum + line.length, 0);
    return { first: first.number, last: last.number, lines, sizeBytes };
  }
}

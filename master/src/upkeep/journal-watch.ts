import type { MetadataRepository } from '../metadata/metadata-repository.ts';

/** Tells whether anything of the tree was changed since it was last dealt with, without asking the database. At first there may be what an earlier process left. */
export class JournalWatch {
  readonly #metadata: Pick<MetadataRepository, 'journalNumber'>;
  #handled: number | undefined;

  constructor(metadata: Pick<MetadataRepository, 'journalNumber'>) {
    this.#metadata = metadata;
  }

  /** The newest change, if it was not dealt with; to be given to `handled` once all up to it was. */
  look(): number | undefined {
    const newest = this.#metadata.journalNumber();
    return newest === this.#handled ? undefined : newest;
  }

  handled(change: number): void {
    this.#handled = change;
  }
}

import { FakeClock, type TestServer, temporaryDirectory } from '@dfs/shared/testing';
import knexOf, { type Knex } from 'knex';
import type { MetadataRepository } from '../metadata-repository.ts';
import { type OpenMetadataOptions, openMetadataRepository } from '../open-metadata-repository.ts';

/** A repository under test, on a database of its own. */
export interface MetadataHarness {
  readonly repository: MetadataRepository;
  readonly clock: FakeClock;
  /** What another program finds in the database. */
  rows<Row>(sql: string): Promise<Row[]>;
  /** Closes the repository and opens the same database again. */
  reopen(options?: { copies?: number }): Promise<MetadataRepository>;
  /** Opens the database a second time, as another master would. */
  openSecond(): Promise<MetadataRepository>;
  /** Where the database is, for another process. */
  readonly address: { readonly url?: string; readonly sqliteFile?: string };
  close(): Promise<void>;
}

export type OpenMetadata = (
  options?: Pick<OpenMetadataOptions, 'cacheSize'>,
) => Promise<MetadataHarness>;

/** On SQLite in a temporary folder. */
export const openOnSqlite: OpenMetadata = async (options) => {
  const folder = await temporaryDirectory();
  const sqliteFile = `${folder.path}/metadata.db`;
  const other = () =>
    knexOf({ client: 'sqlite3', connection: { filename: sqliteFile }, useNullAsDefault: true });
  return openHarness({ sqliteFile }, options, other, folder.remove);
};

/** On databases of this server, each of which sorts text by a language's rules unless told otherwise. */
export const openOnPostgres =
  (server: () => TestServer): OpenMetadata =>
  async (options) => {
    const url = new URL(server().url);
    databases += 1;
    const name = `metadata_${databases}`;
    await withKnex(
      () => knexOf({ client: 'pg', connection: url.href }),
      (knex) =>
        knex.raw(
          `create database ${name} template template0 encoding 'UTF8' locale_provider icu icu_locale 'en-US' locale 'C'`,
        ),
    );
    url.pathname = `/${name}`;
    return openHarness(
      { url: url.href },
      options,
      () => knexOf({ client: 'pg', connection: url.href }),
      async () => {},
    );
  };
let databases = 0;

async function openHarness(
  address: MetadataHarness['address'],
  options: Parameters<OpenMetadata>[0],
  other: () => Knex,
  remove: () => Promise<void>,
): Promise<MetadataHarness> {
  const clock = new FakeClock();
  const open = ({ copies = 1 } = {}) =>
    openMetadataRepository({ ...address, ...options, clock, copies });
  let repository = await open();
  return {
    get repository() {
      return repository;
    },
    clock,
    address,
    rows: (sql) =>
      withKnex(other, async (knex) => {
        const answer = await knex.raw(sql);
        return Array.isArray(answer) ? answer : answer.rows;
      }),
    reopen: async (changed) => {
      await repository.close();
      repository = await open(changed);
      return repository;
    },
    openSecond: open,
    close: async () => {
      await repository.close();
      await remove();
    },
  };
}

async function withKnex<Result>(
  open: () => Knex,
  work: (knex: Knex) => PromiseLike<Result>,
): Promise<Result> {
  const knex = open();
  try {
    return await work(knex);
  } finally {
    await knex.destroy();
  }
}

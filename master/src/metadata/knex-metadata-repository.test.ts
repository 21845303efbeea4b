import { startPostgres, type TestServer } from '@dfs/shared/testing';
import { afterAll, describe } from 'vitest';
import { describeMetadataRepository } from './testing/describe-metadata-repository.ts';
import { openOnPostgres, openOnSqlite } from './testing/metadata-harness.ts';

describeMetadataRepository('metadata on SQLite', openOnSqlite);

const postgres = await startPostgres();
afterAll(() => postgres?.stop());
describe.skipIf(!postgres)('with PostgreSQL', () => {
  const open = openOnPostgres(() => postgres as TestServer);
  describeMetadataRepository('metadata on PostgreSQL', open);
});

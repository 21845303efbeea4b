import { startPostgres, type TestServer } from '@dfs/shared/testing';
import { afterAll, describe } from 'vitest';
import { describeMetadataRepository } from './testing/describe-metadata-repository.ts';
import { openOnPostgres } from './testing/metadata-harness.ts';

// A file of its own, beside that for SQLite: they run at the same time.
const postgres = await startPostgres();
afterAll(() => postgres?.stop());
describe.skipIf(!postgres)('with PostgreSQL', () => {
  const open = openOnPostgres(() => postgres as TestServer);
  describeMetadataRepository('metadata on PostgreSQL', open);
});

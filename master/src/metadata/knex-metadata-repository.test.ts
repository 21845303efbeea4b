import { describeMetadataRepository } from './testing/describe-metadata-repository.ts';
import { openOnSqlite } from './testing/metadata-harness.ts';

describeMetadataRepository('metadata on SQLite', openOnSqlite);

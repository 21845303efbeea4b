import { writeSync } from 'node:fs';
import { systemClock } from '@dfs/shared';
import { openMetadataRepository } from '../open-metadata-repository.ts';
import { bind } from './metadata-fixtures.ts';

/**
 * A process of a test: binds files from 16 callers at once and writes the path of each that resolved, a line each, at once, until it is killed.
 * Arguments: the address of the database as JSON, the number of the round.
 */
const [address = '{}', round = '0'] = process.argv.slice(2);
const repository = await openMetadataRepository({
  ...JSON.parse(address),
  clock: systemClock,
  copies: 1,
});
let number = 0;
await Promise.all(
  Array.from({ length: 16 }, async () => {
    for (;;) {
      number += 1;
      const { named } = await bind(repository, `/round-${round}/${number}`);
      writeSync(1, `${named.path}\n`);
    }
  }),
);

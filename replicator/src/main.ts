import { readClusterKey } from '@dfs/shared';
import { createLogger, runProgram } from '@dfs/shared/cluster';
import { readConfig } from './config.ts';
import { startReplicator } from './replicator.ts';

await runProgram({
  name: 'replicator',
  start: async ({ ready, stopping }) => {
    const config = readConfig(process.env);
    const logger = createLogger({ program: 'replicator', level: config.logLevel });
    const clusterKey = await readClusterKey(process.env, 'wait', (file) => {
      logger.info('waiting for the cluster key', { file });
    });
    const replicator = await startReplicator({ config, clusterKey, logger, stopping });
    ready();
    return replicator;
  },
});

import { ClusterKeyring, createLogger, readTls, runProgram } from '@dfs/shared/cluster';
import { readConfig } from './config.ts';
import { startReplicator } from './replicator.ts';

await runProgram({
  name: 'replicator',
  start: async ({ ready, stopping }) => {
    const tls = await readTls(process.env);
    const config = readConfig(process.env);
    const logger = createLogger({ program: 'replicator', level: config.logLevel });
    const keyring = await ClusterKeyring.read(process.env, 'wait', (file) => {
      logger.info('waiting for the cluster key', { file });
    });
    keyring.watch(logger);
    tls.server.watch(logger);
    const replicator = await startReplicator({ config, keyring, tls, logger, stopping });
    ready();
    return replicator;
  },
});

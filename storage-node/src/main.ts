import { systemClock } from '@dfs/shared';
import { ClusterKeyring, createLogger, readTls, runProgram } from '@dfs/shared/cluster';
import { readConfig } from './config.ts';
import { startStorageNode } from './storage-node.ts';

const name = 'storage-node';

await runProgram({
  name,
  start: async ({ ready, stopping }) => {
    const keyring = await ClusterKeyring.read(process.env, 'wait', (file) => {
      createLogger({ program: name }).info('waiting for the key file', { file });
      // Nothing runs yet that would have to be ended in order.
      stopping.addEventListener('abort', () => process.exit(0), { once: true });
    });
    const tls = await readTls(process.env);
    const config = readConfig(process.env, keyring.current() !== undefined);
    const logger = createLogger({ program: name, level: config.logLevel });
    keyring.watch(logger);
    tls.server.watch(logger);
    const node = await startStorageNode(config, { clock: systemClock, logger, keyring, tls });
    // A node that waits for its master resolves `registered` when it stops.
    const stop = () => void node.stop();
    if (stopping.aborted) stop();
    else stopping.addEventListener('abort', stop, { once: true });
    try {
      await node.registered;
    } catch (error) {
      await node.stop();
      throw error;
    }
    if (!stopping.aborted) {
      const { nodeId, port, dataDir } = node;
      ready({ url: node.url(), nodeId, name: node.name, port, dataDir });
    }
    return node;
  },
});

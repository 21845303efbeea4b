import { systemClock } from '@dfs/shared';
import { ClusterKeyring, createLogger, LogRing, readTls, runProgram } from '@dfs/shared/cluster';
import { readConfig, type StorageNodeConfig } from './config.ts';
import { type FindMasterOptions, findMaster } from './find-master.ts';
import { startStorageNode } from './storage-node.ts';

const name = 'storage-node';
const { random } = Math;

/** While nothing runs yet that would have to be ended in order. */
const endAtOnce = () => process.exit(0);

await runProgram({
  name,
  start: async ({ ready, stopping }) => {
    const keyring = await ClusterKeyring.read(process.env, 'wait', (file) => {
      createLogger({ program: name }).info('waiting for the key file', { file });
      stopping.addEventListener('abort', endAtOnce);
    });
    stopping.removeEventListener('abort', endAtOnce);
    const tls = await readTls(process.env);
    const config = readConfig(process.env, keyring.current() !== undefined);
    const log = new LogRing();
    const logger = createLogger({ program: name, level: config.logLevel, ring: log });
    keyring.watch(logger);
    tls.server.watch(logger);
    const masterUrl = await masterUrlOf(config, { keyring, tls, logger, random, signal: stopping });
    const node = await startStorageNode(
      { ...config, masterUrl },
      { clock: systemClock, logger, log, keyring, tls },
    );
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
      const { nodeId, port, publicPort, dataDir } = node;
      ready({ url: node.url(), nodeId, name: node.name, port, publicPort, dataDir });
    }
    return node;
  },
});

/** The management port: as configured, or as the gossip instance tells. */
async function masterUrlOf(
  { masterUrl, gossipUrl }: StorageNodeConfig,
  options: FindMasterOptions,
): Promise<string> {
  if (gossipUrl === undefined) return masterUrl;
  try {
    return await findMaster(gossipUrl, options);
  } catch (error) {
    if (options.signal.aborted) endAtOnce();
    throw error;
  }
}

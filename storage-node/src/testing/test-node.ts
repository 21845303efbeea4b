import { type Clock, systemClock } from '@dfs/shared';
import { ClusterKeyring, createLogger, HttpBlobStore } from '@dfs/shared/cluster';
import { temporaryDirectory } from '@dfs/shared/testing';
import { readConfig } from '../config.ts';
import type { MeasureDisk } from '../space.ts';
import { startStorageNode } from '../storage-node.ts';
import { FakeMaster } from './fake-master.ts';

export interface TestNodeOptions {
  readonly clusterKey?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly clock?: Clock;
  /** Absent: one of its own. */
  readonly master?: FakeMaster;
  /** A data directory that is there already; absent: a temporary one. */
  readonly dataDir?: string;
  readonly measureDisk?: MeasureDisk;
}

/** A whole storage node on a port of its own, registered with a fake master, and a client to it. */
export async function startTestNode(options: TestNodeOptions = {}) {
  const { clusterKey } = options;
  const keyed = clusterKey === undefined ? {} : { clusterKey };
  const master = options.master ?? (await FakeMaster.start(keyed));
  const temporary = options.dataDir === undefined ? await temporaryDirectory() : undefined;
  const lines: string[] = [];
  const logger = createLogger({
    program: 'storage-node',
    format: 'json',
    write: (line) => lines.push(line),
  });
  const config = readConfig(
    {
      DFS_DATA: options.dataDir ?? temporary?.path,
      DFS_HOST: '127.0.0.1',
      DFS_PORT: '0',
      DFS_MASTER_URL: master.url,
      ...options.environment,
    },
    clusterKey !== undefined,
  );
  const keyring = ClusterKeyring.of(clusterKey);
  const { clock = systemClock, measureDisk } = options;
  const measured = measureDisk ? { measureDisk } : {};
  const node = await startStorageNode(config, { clock, logger, keyring, ...measured });
  const url = `http://127.0.0.1:${node.port}`;
  const client = new HttpBlobStore({
    nodeId: node.nodeId,
    url: () => url,
    keyring,
    epoch: () => 1,
  });
  return {
    node,
    url,
    client,
    master,
    lines,
    blobPath: (id: string) => `${node.dataDir}/blobs/${id.slice(-2)}/${id}`,
    close: async () => {
      await client.close();
      await node.stop();
      if (!options.master) await master.close();
      await temporary?.remove();
    },
  };
}

export type TestNode = Awaited<ReturnType<typeof startTestNode>>;

import { open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeDirectories } from '@dfs/shared';

/** `cluster.json`: where each part of a running cluster is, for scripts. */
export interface ClusterFile {
  readonly url: string;
  readonly managementUrl: string;
  readonly keyFile: string;
  readonly launcher: { readonly pid: number };
  readonly master: { readonly pid: number };
  readonly replicator: { readonly pid: number };
  readonly nodes: readonly {
    readonly id: string;
    readonly name: string;
    readonly url: string;
    /** Its listener for users, where it has one (`DFS_NODE_PUBLIC_PORT`). */
    readonly publicUrl?: string;
    readonly pid: number;
    readonly dataDir: string;
  }[];
}

const pathIn = (dataDir: string) => join(dataDir, 'cluster.json');

export const writeClusterFile = (dataDir: string, cluster: ClusterFile) =>
  writeWhole(pathIn(dataDir), `${JSON.stringify(cluster, null, 2)}\n`, 0o644);

export const removeClusterFile = (dataDir: string) => rm(pathIn(dataDir), { force: true });

/** The cluster that runs on this directory, or undefined: no file, or its launcher is gone. */
export async function findRunningCluster(dataDir: string): Promise<ClusterFile | undefined> {
  try {
    const cluster = JSON.parse(await readFile(pathIn(dataDir), 'utf8')) as ClusterFile;
    process.kill(cluster.launcher.pid, 0);
    return cluster;
  } catch {
    // Absent, unreadable or left behind by a launcher that was killed: none runs.
    return undefined;
  }
}

/** Writes a file whole or not at all: readers see the old content or the new one. Makes its folder. */
export async function writeWhole(path: string, content: string, mode: number): Promise<void> {
  await makeDirectories(dirname(path));
  const staged = `${path}.${process.pid}.new`;
  const handle = await open(staged, 'w', mode);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(staged, path);
}

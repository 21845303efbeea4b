import { randomBytes } from 'node:crypto';

/**
 * The name under which a file is written before it takes its own: it tells which process writes it, so that another one knows what was left behind.
 * It is no name of a tree: walks pass it over.
 */
export const stagedName = () => `.dfs-${process.pid}-${randomBytes(6).toString('hex')}.part`;

const stagedPattern = /^\.dfs-(\d+)-[0-9a-f]{12}\.part$/;

export const isStagedName = (name: string) => stagedPattern.test(name);

/** The process that writes or wrote it. */
export function writerOf(path: string): number | undefined {
  const pid = stagedPattern.exec(path.slice(path.lastIndexOf('/') + 1))?.[1];
  return pid === undefined ? undefined : Number(pid);
}

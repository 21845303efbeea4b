import { expect } from 'vitest';
import type { LocalCluster } from './local-cluster.ts';
import type { StartOptions } from './program.ts';

/** Commands as a user types them, for tests that look at all that comes of them. */
export function commandsOf(cluster: () => LocalCluster) {
  return {
    /** Exit code, then what was printed, then what was said. */
    async dfs(args: readonly string[], options: StartOptions = {}) {
      const { code, stdout, stderr } = await cluster().dfs(args, options);
      return [code, stdout, stderr] as const;
    },
    /** Files whose contents are their names. */
    store: (...paths: string[]) =>
      Promise.all(paths.map((path) => cluster().store(path, path.split('/').at(-1) ?? ''))),
    content: async (path: string) => (await cluster().get(path)).text,
    /** Every name below a directory. */
    all: async (path: string) =>
      (await cluster().dfs(['find', path, '-mindepth', '1'])).stdout.split('\n').slice(0, -1),
  };
}

/** What `dfs` gives when nothing failed. */
export const done = (stdout = '') => [0, stdout, ''];

/** What it gives when something did. */
export const failed = (code: number, stderr: string | RegExp, stdout = '') => [
  code,
  stdout,
  typeof stderr === 'string' ? `${stderr}\n` : expect.stringMatching(stderr),
];

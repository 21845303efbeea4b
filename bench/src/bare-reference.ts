import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { endProcess, forkProgram } from './child-process.ts';
import type { ServerUnderTest } from './server-under-test.ts';

const endPatienceMs = 5_000;

/** Starts the bare server on `root`; `authorization` is sent to it and ignored by it. */
export async function startBareServer(options: {
  name: string;
  root: string;
  authorization: string;
  threadPoolSize: number;
}): Promise<ServerUnderTest> {
  await mkdir(options.root, { recursive: true });
  const child = forkProgram('bare-server', {
    DFS_BENCH_ROOT: options.root,
    UV_THREADPOOL_SIZE: String(options.threadPoolSize),
  });
  const started = once(child, 'message').then(([message]) => message as { port: number });
  const died = once(child, 'exit').then(() => {
    throw new Error('The bare server ended before it listened.');
  });
  const { port } = await Promise.race([started, died]);
  died.catch(() => {});
  return {
    name: options.name,
    target: { host: '127.0.0.1', port, authorization: options.authorization },
    processes: [{ name: options.name, pid: child.pid ?? 0 }],
    isReplicating: false,
    stop: async () => {
      await endProcess(child, 'SIGTERM', endPatienceMs);
    },
  };
}

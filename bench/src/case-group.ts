import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { startBareServer } from './bare-reference.ts';
import type { BenchCase } from './bench-case.ts';
import { type Cluster, startCluster, usualThreadPoolSize } from './cluster.ts';
import type { LoadProcess } from './load-process.ts';
import { startNginx } from './nginx-reference.ts';
import type { BenchOptions } from './options.ts';
import { MemorySampler } from './process-memory.ts';
import type { BenchReport } from './report.ts';
import { type CaseResult, type CaseServers, runCase } from './run-case.ts';
import type { ServerUnderTest } from './server-under-test.ts';

export interface GroupSetting {
  options: BenchOptions;
  load: LoadProcess;
  /** Of this group alone, on the file system that is measured. */
  directory: string;
  copies: number;
  nextRoundNumber(): number;
  say(progress: string): void;
}

export interface GroupResult {
  cases: CaseResult[];
  memory: BenchReport['memory'][number];
  threadPoolSize: number;
}

/** Runs the cases of one setting of copies, on a cluster and references of their own. */
export async function runCaseGroup(
  group: readonly BenchCase[],
  setting: GroupSetting,
): Promise<GroupResult> {
  const { options, load, say } = setting;
  const workDirectory = join(setting.directory, 'local');
  await mkdir(workDirectory, { recursive: true });
  const running: ServerUnderTest[] = [];
  try {
    const started = await startServers(group, setting, running);
    const sampler = new MemorySampler([
      ...running.flatMap((server) => server.processes),
      { name: 'load generator', pid: load.pid ?? 0 },
    ]);
    const results: CaseResult[] = [];
    for (const benchCase of group) {
      say(`${benchCase.title}:`);
      const result = await runCase(
        benchCase,
        started.servers,
        { cluster: started.cluster, load, options, workDirectory },
        {
          nextRoundNumber: setting.nextRoundNumber,
          onRound: (ratio) => say(` ${ratio.toFixed(2)}`),
        },
      );
      say('\n');
      results.push(result);
    }
    return {
      cases: results,
      memory: { servers: `copies ${setting.copies}`, processes: await sampler.stop() },
      threadPoolSize: started.threadPoolSize,
    };
  } finally {
    for (const server of running.reverse()) await server.stop();
  }
}

interface StartedServers {
  cluster: Cluster | undefined;
  servers: CaseServers;
  threadPoolSize: number;
}

/** What was started is in `running`, also when something could not be. */
async function startServers(
  group: readonly BenchCase[],
  setting: GroupSetting,
  running: ServerUnderTest[],
): Promise<StartedServers> {
  const { options, directory, copies } = setting;
  const keep = <Server extends ServerUnderTest>(server: Server): Server => {
    running.push(server);
    return server;
  };
  const cluster = options.isSelfCheck
    ? undefined
    : keep(await startCluster({ directory: join(directory, 'dfs'), copies }));
  const threadPoolSize = cluster?.threadPoolSize ?? usualThreadPoolSize;
  const authorization = cluster?.target.authorization ?? 'Bearer none';
  const startBare = async (name: string, root: string) =>
    keep(await startBareServer({ name, root, authorization, threadPoolSize }));
  const bareRoot = join(directory, 'bare');
  const reference = await startBare('bare server', bareRoot);
  const ours = cluster ?? (await startBare('bare server 2', join(directory, 'bare-2')));
  const nginx = group.some((each) => each.hasNginx)
    ? await startNginx({
        root: bareRoot,
        workDirectory: join(directory, 'nginx'),
        authorization,
      })
    : undefined;
  if (nginx) keep(nginx);
  return { cluster, servers: { ours, reference, nginx }, threadPoolSize };
}

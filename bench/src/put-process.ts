import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CaseRun, Measurement } from './bench-case.ts';
import { dfsCommand } from './cluster.ts';
import { summariseLatency } from './statistics.ts';

const fileBytes = 1024;

/**
 * Times `dfs put FILE` from its start to its end as a process, in milliseconds; the reference is a
 * process of the same Node.js that does nothing.
 */
export async function measurePutProcess(run: CaseRun): Promise<Measurement> {
  const outcome =
    run.role === 'ours' && run.cluster
      ? await putOnce(run, run.cluster.clientEnvironment)
      : await timeProcess(['-e', '0'], process.env);
  return {
    value: outcome.elapsedMs,
    requests: outcome.error ? 0 : 1,
    latency: summariseLatency([outcome.elapsedMs]),
    errorCount: outcome.error ? 1 : 0,
    errorSamples: outcome.error ? [outcome.error] : [],
  };
}

interface ProcessOutcome {
  elapsedMs: number;
  output: string;
  error: string | undefined;
}

async function putOnce(run: CaseRun, environment: NodeJS.ProcessEnv): Promise<ProcessOutcome> {
  const bytes = randomBytes(fileBytes);
  const path = join(run.workDirectory, `put-${run.roundNumber}.bin`);
  await writeFile(path, bytes);
  const outcome = await timeProcess([dfsCommand, 'put', path, '--json'], environment);
  if (outcome.error) return outcome;
  const md5 = createHash('md5').update(bytes).digest('hex');
  const isStored = outcome.output.includes(md5);
  return { ...outcome, error: isStored ? undefined : 'dfs put did not answer with the MD5' };
}

async function timeProcess(
  parameters: string[],
  environment: NodeJS.ProcessEnv,
): Promise<ProcessOutcome> {
  const output: Buffer[] = [];
  const startedAtMs = performance.now();
  const child = spawn(process.execPath, parameters, {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.stdout.on('data', (bytes: Buffer) => output.push(bytes));
  child.stderr.on('data', (bytes: Buffer) => output.push(bytes));
  const [exitCode] = (await once(child, 'close')) as [number | null];
  const elapsedMs = performance.now() - startedAtMs;
  const text = Buffer.concat(output).toString();
  const error = exitCode === 0 ? undefined : `exit code ${exitCode}: ${text.slice(0, 200)}`;
  return { elapsedMs, output: text, error };
}

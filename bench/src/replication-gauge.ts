import { setTimeout as delay } from 'node:timers/promises';
import { HttpConnection } from './http-connection.ts';
import { getText } from './http-request.ts';
import type { LoadTarget } from './load-messages.ts';

const pollIntervalMs = 20;
const waitMaxMs = 180_000;
const gaugeName = 'dfs_replicas_wanted';

/**
 * Resolves when the master counts no copy that is still to be made. Asks every 20 ms over one
 * connection, so the answer is late by that at most. Rejects after three minutes, and when the
 * gauge is absent.
 */
export async function waitReplicated(target: LoadTarget): Promise<void> {
  const connection = await HttpConnection.open(target.host, target.port);
  const deadlineMs = performance.now() + waitMaxMs;
  try {
    for (;;) {
      const wanted = await readReplicasWanted(connection, target);
      if (wanted === 0) return;
      if (performance.now() > deadlineMs) {
        throw new Error(`${wanted} copies are still missing after ${waitMaxMs / 1000} s.`);
      }
      await delay(pollIntervalMs);
    }
  } finally {
    connection.close();
  }
}

async function readReplicasWanted(connection: HttpConnection, target: LoadTarget): Promise<number> {
  const answer = await getText(connection, '/metrics', target);
  if (answer instanceof Error) throw answer;
  if (answer.head.status !== 200) throw new Error(`/metrics answered ${answer.head.status}.`);
  return parseReplicasWanted(answer.text);
}

/** The gauge's value in Prometheus' text format, summed over its labels. Throws when it is absent. */
export function parseReplicasWanted(metrics: string): number {
  const lines = metrics.matchAll(new RegExp(`^${gaugeName}(?:\\{[^}]*\\})?[ \\t]+(\\S+)`, 'gm'));
  const values = Array.from(lines, (line) => Number(line[1]));
  if (values.length === 0) throw new Error(`/metrics has no ${gaugeName}.`);
  return values.reduce((sum, value) => sum + value, 0);
}

import { newBlobId, newNodeId, type ReplicationAttempt, StoreError } from '@dfs/shared';
import { eventually, recordingLogger } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { ReplicationReporter } from './replication-reporter.ts';
import { makeGate } from './test-gate.ts';

const makeAttempt = (): ReplicationAttempt => ({
  blobId: newBlobId(),
  target: newNodeId(),
  outcome: 'stored',
  startedAtMs: 1,
  durationMs: 2,
});

function makeReporter(
  send: (attempts: readonly ReplicationAttempt[]) => Promise<void>,
  waitingMax = 10_000,
) {
  const { logger, lines } = recordingLogger();
  return {
    reporter: new ReplicationReporter({ send, logger, random: () => 0, waitingMax }),
    lines,
  };
}

describe('ReplicationReporter', () => {
  it('tells everything, in order', async () => {
    const told: ReplicationAttempt[] = [];
    const { reporter } = makeReporter(async (attempts) => void told.push(...attempts));
    const attempts = Array.from({ length: 2_500 }, makeAttempt);
    for (const attempt of attempts) reporter.report(attempt);
    await reporter.close();
    expect(told).toEqual(attempts);
  });

  it('puts what comes while a report is under way into the next one, at most a thousand', async () => {
    const sizes: number[] = [];
    const gate = makeGate();
    const { reporter } = makeReporter(async (attempts) => {
      sizes.push(attempts.length);
      await gate.opened;
    });
    reporter.report(makeAttempt());
    await eventually(() => sizes).toEqual([1]);
    for (let i = 0; i < 1_300; i += 1) reporter.report(makeAttempt());
    gate.open();
    await reporter.close();
    expect(sizes).toEqual([1, 1_000, 300]);
  });

  it('tries again until the master takes it, and speaks of the outage once', async () => {
    const told: ReplicationAttempt[] = [];
    let failuresLeft = 2;
    const { reporter, lines } = makeReporter(async (attempts) => {
      if (failuresLeft > 0) {
        failuresLeft -= 1;
        throw new StoreError('unavailable', 'The master gave no answer.');
      }
      told.push(...attempts);
    });
    const attempts = [makeAttempt(), makeAttempt()];
    for (const attempt of attempts) reporter.report(attempt);
    await eventually(() => told).toEqual(attempts);
    expect(lines.map((line) => line.level)).toEqual(['warn', 'info']);
    await reporter.close();
  });

  it('drops a report that the master will never take, and goes on with the next', async () => {
    const told: ReplicationAttempt[] = [];
    let isFirst = true;
    const { reporter } = makeReporter(async (attempts) => {
      if (isFirst) {
        isFirst = false;
        throw new StoreError('invalid-request', 'The message is no JSON object.');
      }
      told.push(...attempts);
    });
    reporter.report(makeAttempt());
    await eventually(() => isFirst).toBe(false);
    const next = makeAttempt();
    reporter.report(next);
    await eventually(() => told).toEqual([next]);
    await reporter.close();
  });

  it('keeps a bounded number, the newest, while the master is away', async () => {
    const told: ReplicationAttempt[] = [];
    const gate = makeGate();
    const { reporter } = makeReporter(async (attempts) => {
      await gate.opened;
      told.push(...attempts);
    }, 100);
    const attempts = Array.from({ length: 1_000 }, makeAttempt);
    for (const attempt of attempts) reporter.report(attempt);
    gate.open();
    await reporter.close();
    expect(told.length).toBeLessThanOrEqual(100);
    expect(told.length).toBeGreaterThanOrEqual(90);
    expect(told.at(-1)).toEqual(attempts.at(-1));
  });
});

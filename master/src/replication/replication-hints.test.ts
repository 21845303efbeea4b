import { type ReplicationJob, StoreError } from '@dfs/shared';
import { makeJob, recordingLogger } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { ReplicationHints } from './replication-hints.ts';

/** A queue that notes what it is given and fails while `isDown`. */
function makeQueue() {
  const batches: ReplicationJob[][] = [];
  const state = { isDown: false };
  const queue = {
    enqueue: async (jobs: readonly ReplicationJob[]) => {
      if (state.isDown) throw new StoreError('unavailable', 'down');
      batches.push([...jobs]);
    },
    outstanding: async () => 0,
    close: async () => {},
  };
  return { queue, batches, state };
}

describe('ReplicationHints', () => {
  it('hands over together what is hinted at the same time', async () => {
    const { queue, batches } = makeQueue();
    const hints = new ReplicationHints({ queue, logger: recordingLogger().logger });
    const jobs = Array.from({ length: 50 }, () => makeJob());
    for (const job of jobs) hints.hint([job]);
    await hints.flush();
    expect(batches).toEqual([jobs]);
  });

  it('hands over in batches of at most a thousand', async () => {
    const { queue, batches } = makeQueue();
    const hints = new ReplicationHints({ queue, logger: recordingLogger().logger });
    hints.hint(Array.from({ length: 2_500 }, () => makeJob()));
    await hints.flush();
    expect(batches.map((batch) => batch.length)).toEqual([1_000, 1_000, 500]);
  });

  it('drops jobs while the queue fails, with one line at the beginning and one at the end', async () => {
    const { queue, batches, state } = makeQueue();
    const { logger, lines } = recordingLogger();
    const hints = new ReplicationHints({ queue, logger });
    state.isDown = true;
    for (let round = 0; round < 3; round += 1) {
      hints.hint([makeJob()]);
      await hints.flush();
    }
    state.isDown = false;
    const job = makeJob();
    hints.hint([job]);
    await hints.flush();
    expect(batches).toEqual([[job]]);
    expect(lines.map((line) => line.level)).toEqual(['warn', 'info']);
    expect(lines[1]?.fields).toEqual({ failures: 3 });
  });

  it('holds a bounded number while the queue hangs', async () => {
    let given = 0;
    let goOn = () => {};
    const hanging = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const queue = {
      enqueue: async (jobs: readonly ReplicationJob[]) => {
        given += jobs.length;
        await hanging;
      },
      outstanding: async () => 0,
      close: async () => {},
    };
    const hints = new ReplicationHints({ queue, logger: recordingLogger().logger });
    const job = makeJob();
    for (let round = 0; round < 50; round += 1) hints.hint(Array(1_000).fill(job));
    goOn();
    await hints.flush();
    expect(given).toBe(20_000);
  });
});

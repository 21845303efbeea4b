import { StoreError } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import { Retries } from './retry.ts';

const limits = { patienceMs: 60_000, refusedPatienceMs: 3_000 };

describe('trying again', () => {
  it('says why it waits, and again only when the reason changed', async () => {
    const said: string[] = [];
    const retries = new Retries({ limits, say: (line) => said.push(line) });
    const messages = ['Node 1 is away.', 'Node 2 is away.', 'The disk is slow.'];
    for (const message of messages) {
      await retries.wait(new StoreError('unavailable', message));
      retries.progress();
    }
    expect(said).toEqual([
      'dfs: Node 1 is away; trying again for up to 60 s',
      'dfs: The disk is slow; trying again for up to 60 s',
    ]);
  });

  it('says the shorter patience while nothing listens', async () => {
    const said: string[] = [];
    const cause = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
    const error = new StoreError('unavailable', 'No store answers.', { cause });
    await new Retries({ limits, say: (line) => said.push(line) }).wait(error);
    expect(said).toEqual(['dfs: No store answers; trying again for up to 3 s']);
  });

  it.each(['in-recovery', 'not-found', 'no-room'] as const)(
    'gives up at once and says nothing where waiting cannot help: %s',
    async (kind) => {
      const said: string[] = [];
      const error = new StoreError(kind, 'No.', { retryAfterSeconds: 1 });
      const retries = new Retries({ limits, say: (line) => said.push(line) });
      await expect(retries.wait(error)).rejects.toBe(error);
      expect(said).toEqual([]);
    },
  );

  it('announces no wait when its patience is over', async () => {
    const said: string[] = [];
    const error = new StoreError('unavailable', 'Away.');
    const retries = new Retries({
      limits: { patienceMs: 0, refusedPatienceMs: 0 },
      say: (line) => said.push(line),
    });
    await expect(retries.wait(error)).rejects.toBe(error);
    expect(said).toEqual([]);
  });
});

import { describe, it } from 'vitest';
import { chaosRounds, chaosSeed, runChaos } from './chaos/chaos.ts';
import { findRedis, TestRedis } from './harness/redis.ts';

describe('programs killed at random instants for a long time', () => {
  it('lose nothing that was acknowledged, and leave nothing over', async () => {
    await runChaos({ rounds: chaosRounds(2_000), seed: chaosSeed() });
  });

  const executable = findRedis();
  it.skipIf(executable === undefined)('lose nothing with Redis between them', async () => {
    const redis = await TestRedis.start(executable ?? '');
    try {
      await runChaos({ rounds: chaosRounds(2_000), seed: chaosSeed(), redis });
    } finally {
      await redis.stop();
    }
  });
});

import { recordingLogger } from '@dfs/shared/testing';
import { expect, it } from 'vitest';
import { JournalScrub } from './journal-scrub.ts';

it.each([{ everyMs: 0 }, { everyMs: 86_400_000 }])(
  'reads the journal each time that it is asked to, also while it is being read (every $everyMs ms)',
  async ({ everyMs }) => {
    let passes = 0;
    let ended = () => {};
    const twice = new Promise<void>((resolve) => {
      ended = resolve;
    });
    const scrub: JournalScrub = new JournalScrub({
      journal: {
        verify: async () => {
          passes += 1;
          if (passes === 1) scrub.scrubNow();
          else ended();
        },
      },
      logger: recordingLogger().logger,
      random: () => 0.9,
      everyMs,
    });
    scrub.start();
    scrub.scrubNow();
    await twice;
    await scrub.stop();
    expect(passes).toBe(2);
  },
);

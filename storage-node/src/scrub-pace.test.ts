import { describe, expect, it } from 'vitest';
import { type ScrubMoment, scrubPauseMs } from './scrub-pace.ts';

const day = 86_400_000;
const moment: ScrubMoment = {
  isAsked: false,
  doneShare: 0.5,
  elapsedMs: 12 * day,
  passMs: 24 * day,
  lastReadMs: 10,
  isBusy: false,
};

describe('the pace of a scrub', () => {
  it.each<[string, Partial<ScrubMoment>, number]>([
    ['on time rests twice as long as it read', {}, 20],
    ['ahead of its time waits for it', { doneShare: 0.75 }, 6 * day],
    ['late only rests, however late it is', { elapsedMs: 23 * day }, 20],
    ['rests ten times as long while others are served', { isBusy: true }, 100],
    ['that a person waits for rests half as long as it read', { isAsked: true }, 5],
    [
      'that a person waits for gives way to others all the same',
      { isAsked: true, isBusy: true },
      100,
    ],
    ['that a person waits for knows no schedule', { isAsked: true, doneShare: 1, elapsedMs: 0 }, 5],
    ['never rests for more than a second after a piece', { lastReadMs: 90_000 }, 1_000],
    ['has no rest when nothing was read', { lastReadMs: 0 }, 0],
  ])('%s', (_, difference, pauseMs) => {
    expect(scrubPauseMs({ ...moment, ...difference })).toBe(pauseMs);
  });
});

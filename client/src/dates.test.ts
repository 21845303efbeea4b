import { describe, expect, it } from 'vitest';
import { momentOf } from './dates.ts';

const now = new Date(2026, 10, 25, 12, 30, 15, 250);

describe('a moment as people write it', () => {
  it.each([
    ['now', now],
    [' NOW ', now],
    ['yesterday', new Date(2026, 10, 24, 12, 30, 15, 250)],
    ['tomorrow', new Date(2026, 10, 26, 12, 30, 15, 250)],
    ['2 hours ago', new Date(2026, 10, 25, 10, 30, 15, 250)],
    ['1 min ago', new Date(2026, 10, 25, 12, 29, 15, 250)],
    ['3 weeks', new Date(now.getTime() + 21 * 86_400_000)],
    ['-1 day', new Date(now.getTime() - 86_400_000)],
    ['1 month ago', new Date(2026, 9, 25, 12, 30, 15, 250)],
    ['2 years ago', new Date(2024, 10, 25, 12, 30, 15, 250)],
    ['2026-01-02', new Date(2026, 0, 2)],
    ['2026-01-02 03:04', new Date(2026, 0, 2, 3, 4)],
    ['2026-01-02T03:04:05', new Date(2026, 0, 2, 3, 4, 5)],
    ['2026-01-02T03:04:05.678Z', new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 678))],
    ['2026-01-02 03:04 +0100', new Date(Date.UTC(2026, 0, 2, 2, 4))],
    ['@0', new Date(0)],
    ['@-1.5', new Date(-1_500)],
  ])('%j', (text, expected) => {
    expect(momentOf(text, now)).toEqual(expected);
  });

  it.each(['', 'soon', '2026', '2026-13-01', '2026-02-31', '25:00', '3 lightyears ago', '@', '12'])(
    'is not %j',
    (text) => {
      expect(() => momentOf(text, now)).toThrow(/invalid date/);
    },
  );
});

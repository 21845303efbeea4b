import { describe, expect, it } from 'vitest';
import { chooseEvicted, heatAfterRead, heatHalfLifeMs, heatOfReadAt } from './heat.ts';

const nowMs = 1_800_000_000_000;
const heatOf = (readsAtMs: readonly number[]) =>
  readsAtMs.slice(1).reduce(heatAfterRead, heatOfReadAt(readsAtMs[0] ?? 0));
const entryOf = (name: string, readsAtMs: readonly number[], priority = 0, bytes = 10) => ({
  name,
  heat: heatOf(readsAtMs),
  priority,
  bytes,
});
const namesOf = (entries: readonly { name: string }[]) => entries.map(({ name }) => name);

describe('what is let go first', () => {
  it('is what was read least, then longest ago', () => {
    const entries = [
      entryOf('twice', [nowMs, nowMs]),
      entryOf('once', [nowMs]),
      entryOf('once, before', [nowMs - 1_000]),
      entryOf('ten times', new Array(10).fill(nowMs)),
    ];
    expect(namesOf(chooseEvicted(entries, 25))).toEqual(['once, before', 'once', 'twice']);
  });

  it('is what was read much, once that is long ago', () => {
    const hoursAgo = (hours: number) => nowMs - hours * heatHalfLifeMs;
    const wasHot = new Array(100).fill(hoursAgo(6));
    // A hundred reads are worth 1.56 after six hours.
    const entries = [entryOf('was hot', wasHot), entryOf('once', [nowMs])];
    expect(namesOf(chooseEvicted(entries, 1))).toEqual(['once']);
    const later = [
      entryOf(
        'was hot',
        wasHot.map((at) => at - heatHalfLifeMs),
      ),
      entries[1],
    ];
    expect(namesOf(chooseEvicted(later as typeof entries, 1))).toEqual(['was hot']);
  });

  it('is what has less priority, where a point counts as twice the reads', () => {
    const entries = [
      entryOf('kept', [nowMs], 2),
      entryOf('three times', [nowMs, nowMs, nowMs]),
      entryOf('five times', new Array(5).fill(nowMs)),
    ];
    expect(namesOf(chooseEvicted(entries, 11))).toEqual(['three times', 'kept']);
  });

  it('is all there is, when that is not enough', () => {
    expect(chooseEvicted([entryOf('a', [nowMs]), entryOf('b', [nowMs])], 1_000)).toHaveLength(2);
    expect(chooseEvicted([entryOf('a', [nowMs])], 0)).toEqual([]);
  });
});

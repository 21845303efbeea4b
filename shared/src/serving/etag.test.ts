import { describe, expect, it } from 'vitest';
import { matchesStrongly, matchesWeakly, parseEntityTags } from './etag.ts';

const strong = (text: string) => ({ isWeak: false, text });
const weak = (text: string) => ({ isWeak: true, text });

describe('a list of entity tags', () => {
  it.each([
    ['*', '*'],
    [' * ', '*'],
    ['"a"', [strong('a')]],
    ['W/"a"', [weak('a')]],
    ['"a", "b" ,W/"c"', [strong('a'), strong('b'), weak('c')]],
    ['""', [strong('')]],
    ['"a,b"', [strong('a,b')]],
  ])('%j is read', (header, tags) => {
    expect(parseEntityTags('If-Match', header)).toEqual(tags);
  });

  it.each(['', 'abc123', '"a', 'a"', '"a" "b"', '"a",', 'W/', ',', '*, "a"', '"a";q=1'])(
    '%j is refused',
    (header) => {
      expect(() => parseEntityTags('If-Match', header)).toThrow(/If-Match/);
    },
  );

  it('is refused when it is longer than anyone needs, in a moment', () => {
    const header = Array.from({ length: 5_000 }, () => '"a"').join(',');
    expect(() => parseEntityTags('If-Match', header)).toThrow(/If-Match/);
    expect(() => parseEntityTags('If-Match', ' '.repeat(30_000))).toThrow(/If-Match/);
  });

  it('is absent with its header', () => {
    expect(parseEntityTags('If-Match', undefined)).toBeUndefined();
  });
});

it('weak tags match weakly only', () => {
  expect(matchesStrongly([weak('a'), strong('b')], 'a')).toBe(false);
  expect(matchesStrongly([weak('a'), strong('b')], 'b')).toBe(true);
  expect(matchesWeakly([weak('a')], 'a')).toBe(true);
  expect(matchesWeakly([], 'a')).toBe(false);
  expect(matchesStrongly('*', 'a') && matchesWeakly('*', 'a')).toBe(true);
});

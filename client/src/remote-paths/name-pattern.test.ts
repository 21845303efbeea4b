import { describe, expect, it } from 'vitest';
import { isPattern, namePattern } from './name-pattern.ts';

describe('a pattern over names', () => {
  it.each([
    ['*', 'a', true],
    ['*', '', true],
    ['*.txt', 'a.txt', true],
    ['*.txt', 'a.txt.gz', false],
    ['a*', 'a', true],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'a-c-b', false],
    ['?', 'a', true],
    ['?', '', false],
    ['?', 'ab', false],
    ['?', '😀', true],
    ['[😀-😎]', '😃', true],
    ['*', 'a\nb', true],
    ['a?b', 'a\nb', true],
    ['a (1)*', 'a (1).txt', true],
    ['a+b|c$^*', 'a+b|c$^d', true],
    ['{a,b}', '{a,b}', true],
    ['[abc]', 'b', true],
    ['[abc]', 'd', false],
    ['[a-c]x', 'bx', true],
    ['[!a-c]', 'b', false],
    ['[^a-c]', 'd', true],
    ['[]]', ']', true],
    ['[!]]', 'a', true],
    ['[a-]', '-', true],
    ['[-a]', '-', true],
    ['[', '[', true],
    ['[a', '[a', true],
    ['a[', 'a[', true],
    ['[[:digit:]]*', '7up', true],
    ['[[:alpha:]]', 'ä', true],
    ['[![:upper:]]', 'A', false],
    ['[[:nonsense:]]', ':]', true],
    ['[\\]]', ']', true],
    ['\\*', '*', true],
    ['\\*', 'a', false],
    ['\\\\*', '\\a', true],
    ['a\\', 'a\\', true],
    ['*', '.hidden', false],
    ['?hidden', '.hidden', false],
    ['[.]hidden', '.hidden', false],
    ['.*', '.hidden', true],
    ['\\.*', '.hidden', true],
    ['A*', 'abc', false],
  ])('%j of %j is %j', (pattern, name, expected) => {
    expect(namePattern(pattern).matches(name)).toBe(expected);
  });

  it('matches leading dots and other cases when asked', () => {
    expect(namePattern('*', { matchesLeadingDot: true }).matches('.a')).toBe(true);
    expect(namePattern('[A-C]X*', { ignoresCase: true }).matches('bxY')).toBe(true);
  });

  it('is quick, however it is made', () => {
    const startedAtMs = performance.now();
    const pattern = namePattern(`${'*a'.repeat(100)}*b`);
    expect(pattern.matches('a'.repeat(255))).toBe(false);
    expect(performance.now() - startedAtMs).toBeLessThan(1_000);
  });

  it.each([
    ['a', false],
    ['a*', true],
    ['?', true],
    ['a[b', false],
    ['a[]', false],
    ['a[b]', true],
    ['a\\*', false],
    ['\\[b]', false],
    ['[1]', true],
    ['\\\\*', true],
    ['', false],
  ])('%j is one: %j', (word, expected) => {
    expect(isPattern(word)).toBe(expected);
  });
});

import { describe, expect, it } from 'vitest';
import { parseTarget } from './request-target.ts';

describe('the target of a request', () => {
  it.each([
    ['/', { path: '/', query: '' }],
    ['/fs/a?b=c?d', { path: '/fs/a', query: 'b=c?d' }],
    ['/fs/a?', { path: '/fs/a', query: '' }],
    ['/fs/../a', { path: '/fs/../a', query: '' }],
    ['//evil.example/x', { path: '//evil.example/x', query: '' }],
    ['*', { path: '*', query: '' }],
    ['http://h:1/a/../b?c', { path: '/a/../b', query: 'c', authority: 'h:1' }],
    ['HTTPS://h', { path: '/', query: '', authority: 'h' }],
    ['http://h?c', { path: '/', query: 'c', authority: 'h' }],
  ])('%s is taken apart and left as it is', (raw, target) => {
    expect(parseTarget(raw)).toEqual(target);
  });

  it.each(['', 'fs/a', '/a#b', 'ftp://h/a', '**'])('%j is refused', (raw) => {
    if (raw === '') expect(parseTarget(raw).path).toBe('/');
    else expect(() => parseTarget(raw)).toThrow(/path/);
  });
});

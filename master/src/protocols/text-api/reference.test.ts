import type { FilePath } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import { parseReference, referenceOf } from './reference.ts';

describe('a reference', () => {
  it.each([
    ['Kalahari@video.mp4', 'Kalahari', '/video.mp4'],
    ['video.mp4', undefined, '/video.mp4'],
    ['/video.mp4', undefined, '/video.mp4'],
    ['films/2026/video.mp4', undefined, '/films/2026/video.mp4'],
    ['Kalahari@films/video.mp4', 'Kalahari', '/films/video.mp4'],
    ['Kalahari@/films/video.mp4', 'Kalahari', '/films/video.mp4'],
    ['Kalahari@me@home.txt', 'Kalahari', '/me@home.txt'],
    ['@me@home.txt', undefined, '/me@home.txt'],
    ['/me@home.txt', undefined, '/me@home.txt'],
    ['docs/me@home.txt', undefined, '/docs/me@home.txt'],
    ['Kalahari%40video.mp4', 'Kalahari', '/video.mp4'],
    ['Kalahari@films%2Fvideo.mp4', 'Kalahari', '/films/video.mp4'],
    ['K@a%20b%25.txt', 'K', '/a b%.txt'],
    ['K@%2541.txt', 'K', '/%41.txt'],
    ['K@caf%C3%A9', 'K', '/café'],
  ])('%s is of node %s and path %s', (text, node, path) => {
    expect(parseReference(text)).toEqual(node === undefined ? { path } : { node, path });
  });

  it.each([
    '',
    '/',
    '@',
    'Kalahari@',
    'Kalahari@dir/',
    'Kalahari@../x',
    'Kalahari@a/../../x',
    'Kalahari@%2e%2e/x',
    'Kalahari@..%2fx',
    '..',
    'K@a//b',
    '//a',
    'K@//etc/passwd',
    'K@a%00',
    'K@100%',
    'K@%ff',
  ])('%j is refused', (text) => {
    expect(() => parseReference(text)).toThrow(expect.objectContaining({ kind: 'invalid-path' }));
  });

  it.each([
    ['/video.mp4', 'Kalahari', 'Kalahari@video.mp4'],
    [
      '/a b/ü&?#"\'$(x)`.txt',
      'two words',
      'two%20words@a%20b/%C3%BC%26%3F%23%22%27%24%28x%29%60.txt',
    ],
    ['/me@home.txt', 'K', 'K@me@home.txt'],
    ['/100%.txt', 'K', 'K@100%25.txt'],
    ['/x', 'a@b', 'the-id@x'],
    ['/x', 'a/b', 'the-id@x'],
    ['/x', '', 'the-id@x'],
  ])('of %s on %s is %s, and leads back', (path, name, text) => {
    expect(referenceOf(path as FilePath, { id: 'the-id', name })).toBe(text);
    expect(parseReference(text).path).toBe(path);
  });
});

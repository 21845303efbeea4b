import { describe, expect, it } from 'vitest';
import { seededRandom } from '../e2e/harness/content.ts';
import { compareTreePaths, isWithin, joinTreePath } from './tree-order.ts';

describe('the order of a tree', () => {
  it('has a directory before what is in it, and that before names that only start alike', () => {
    const paths = ['a', 'a/b', 'a/b/c', 'a/b c', 'a b', 'a!', 'a-b', 'a.b', 'a0', 'ab', 'b'];
    // A space, ! - and . are below the slash as bytes.
    const wanted = ['a', 'a/b', 'a/b/c', 'a/b c', 'a b', 'a!', 'a-b', 'a.b', 'a0', 'ab', 'b'];
    expect(paths.toSorted(compareTreePaths)).toEqual(wanted);
  });

  it('is that of UTF-8 bytes, also beyond U+FFFF', () => {
    const names = ['\u{1f600}', '\u{ff5e}', '\u{e000}', '\u{d7ff}', 'é', 'z', '\u{1}'];
    const byBytes = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    expect(names.toSorted(compareTreePaths)).toEqual(byBytes);
  });

  it('is that of a walk that sorts the names of each directory, for any tree', () => {
    const random = seededRandom(7);
    const letters = ['a', 'b', '-', '.', ' ', '0', 'é', '\u{1f600}', '\u{ffee}', '\u{2}'];
    const pick = () => letters[Math.floor(random() * letters.length)] as string;
    const name = () => Array.from({ length: 1 + Math.floor(random() * 3) }, pick).join('');
    for (let round = 0; round < 50; round += 1) {
      const paths = new Set<string>();
      for (let count = 0; count < 60; count += 1) {
        let path = '';
        for (let depth = 0; depth < 1 + random() * 3; depth += 1) {
          path = joinTreePath(path, name());
          paths.add(path);
        }
      }
      expect([...paths].sort(compareTreePaths)).toEqual(walk([...paths], ''));
    }
  });

  it('knows what lies below a directory from what is only named alike', () => {
    expect(isWithin('a/b', 'a')).toBe(true);
    expect(isWithin('a', 'a')).toBe(true);
    expect(isWithin('ab', 'a')).toBe(false);
    expect(isWithin('anything', '')).toBe(true);
  });
});

/** The plain way: each directory's names, sorted by their bytes. */
function walk(paths: readonly string[], directory: string): string[] {
  const below = paths.filter((path) => path !== directory && isWithin(path, directory));
  const skip = directory === '' ? 0 : directory.length + 1;
  const names = new Set(below.map((path) => path.slice(skip).split('/')[0] as string));
  const sorted = [...names].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return sorted.flatMap((name) => {
    const path = joinTreePath(directory, name);
    return [path, ...walk(below, path)];
  });
}

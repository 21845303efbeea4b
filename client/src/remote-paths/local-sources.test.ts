import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { localSourcesOf } from './local-sources.ts';

describe('files of this machine that a word matches', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'dfs-local-'));
    mkdirSync(join(folder, 'sub'));
    for (const name of ['b.txt', 'a.txt', '.hidden', 'x*y', 'xzy', 'sub/c.txt']) {
      writeFileSync(join(folder, name), '');
    }
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each([
    ['*.txt', ['a.txt', 'b.txt']],
    ['*/*.txt', ['sub/c.txt']],
    ['s?b/c.txt', ['sub/c.txt']],
    ['s?b/d.txt', ['s?b/d.txt']],
    ['x*y', ['x*y']],
    ['x?y', ['x*y', 'xzy']],
    ['*.none', ['*.none']],
    ['nowhere/*', ['nowhere/*']],
    ['plain', ['plain']],
  ])('%s', (word, expected) => {
    const inside = (name: string) => `${folder}/${name}`;
    expect(localSourcesOf(inside(word))).toEqual(expected.map(inside));
  });
});

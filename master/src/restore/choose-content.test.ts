import type { FileId, NodeId } from '@dfs/shared';
import { expect, it } from 'vitest';
import type { FoundFile } from '../metadata/restore/restore-types.ts';
import { orderContents } from './choose-content.ts';

const content = (id: string, createdAtMs: number, ...holders: number[]): FoundFile => ({
  file: {
    id: id as FileId,
    sizeBytes: 1,
    md5: id,
    contentType: '',
    attributes: {},
    createdAtMs,
    blobs: [],
  },
  path: '/p',
  storedAtMs: 0,
  holders: holders.map((count) => Array.from({ length: count }, (_, n) => `${n}` as NodeId)),
});

it.each<[string, FoundFile[], string]>([
  ['the newest', [content('a', 1, 3), content('b', 3, 1), content('c', 2, 2)], 'b c a'],
  ['of equal times the one on most nodes', [content('a', 5, 1), content('b', 5, 2)], 'b a'],
  [
    'where a time is missing, the one on most nodes',
    [content('a', 9, 1), content('b', 0, 2)],
    'b a',
  ],
  [
    'a content is held as often as the rarest of its blobs',
    [content('a', 5, 3, 1), content('b', 5, 2, 2)],
    'b a',
  ],
  ['the same whoever asks', [content('a', 5, 1), content('b', 5, 1)], 'b a'],
])('tries first %s', (_, contents, expected) => {
  for (const given of [contents, contents.toReversed()]) {
    expect(
      orderContents(given)
        .map(({ file }) => file.id)
        .join(' '),
    ).toBe(expected);
  }
});

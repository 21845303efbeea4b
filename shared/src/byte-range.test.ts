import { describe, expect, it } from 'vitest';
import {
  contentRangeOf,
  lengthOf,
  parseRangeHeader,
  resolveRange,
  resolveRanges,
} from './byte-range.ts';
import { StoreError } from './errors.ts';

const from = (first: number, last?: number) => ({
  kind: 'from' as const,
  first,
  ...(last === undefined ? {} : { last }),
});
const suffix = (length: number) => ({ kind: 'suffix' as const, length });

describe('a Range header', () => {
  it.each([
    ['bytes=0-0', [from(0, 0)]],
    ['bytes=0-499', [from(0, 499)]],
    ['bytes=500-', [from(500)]],
    ['bytes=-500', [suffix(500)]],
    ['bytes=-0', [suffix(0)]],
    ['BYTES=1-2', [from(1, 2)]],
    [' bytes = 1-2 ', [from(1, 2)]],
    ['bytes=0-0,-1', [from(0, 0), suffix(1)]],
    ['bytes= 0-1 , 5-6 ,, 9- ', [from(0, 1), from(5, 6), from(9)]],
    ['bytes=007-008', [from(7, 8)]],
    ['bytes=0-999999999999999', [from(0, 999_999_999_999_999)]],
    ['bytes=1-18446744073709551615', [from(1, Number.MAX_SAFE_INTEGER)]],
    ['bytes=99999999999999999999-', [from(Number.MAX_SAFE_INTEGER)]],
    ['bytes=-99999999999999999999', [suffix(Number.MAX_SAFE_INTEGER)]],
    [
      `bytes=${Array.from({ length: 16 }, () => '0-0').join()}`,
      Array.from({ length: 16 }, () => from(0, 0)),
    ],
  ])('%j is understood', (header, specs) => {
    expect(parseRangeHeader(header)).toEqual(specs);
  });

  it.each([
    undefined,
    ...[
      '',
      'bytes',
      'bytes=',
      'bytes=,',
      'bytes=-',
      'bytes=--1',
      'bytes=a-b',
      'bytes=1',
      'bytes=1-2-3',
    ],
    ...[
      'items=0-1',
      'bytes=2-1',
      'bytes=0-1,5-4',
      'bytes=-1.5',
      'bytes=0x0-0x1',
      'bytes=+1-2',
      'bytes 0-1',
    ],
    ...['bytes=0-1;2-3', 'bytes=１-２'],
    `bytes=${Array.from({ length: 17 }, () => '0-0').join()}`,
  ])('%j asks for nothing that is understood', (header) => {
    expect(parseRangeHeader(header)).toBeUndefined();
  });
});

describe('a range in a content', () => {
  it.each([
    [from(0, 0), 10, { start: 0, end: 1 }],
    [from(0, 9), 10, { start: 0, end: 10 }],
    [from(0, 10), 10, { start: 0, end: 10 }],
    [from(9, 99), 10, { start: 9, end: 10 }],
    [from(9), 10, { start: 9, end: 10 }],
    [from(10), 10, undefined],
    [from(10, 20), 10, undefined],
    [from(0), 0, undefined],
    [suffix(1), 10, { start: 9, end: 10 }],
    [suffix(10), 10, { start: 0, end: 10 }],
    [suffix(11), 10, { start: 0, end: 10 }],
    [suffix(0), 10, undefined],
    [suffix(5), 0, undefined],
  ])('%j of %i bytes is %j', (spec, sizeBytes, range) => {
    expect(resolveRange(spec, sizeBytes)).toEqual(range);
  });

  it('leaves out those that touch nothing, and keeps the order', () => {
    const specs = [from(8), from(50), suffix(0), from(0, 1)];
    expect(resolveRanges(specs, 10)).toEqual([
      { start: 8, end: 10 },
      { start: 0, end: 2 },
    ]);
  });

  it.each([0, 10])('is refused when none touches the %i bytes', (sizeBytes) => {
    const refused = () => resolveRanges([from(10), suffix(0)], sizeBytes);
    expect(refused).toThrow(StoreError);
    expect(refused).toThrow(expect.objectContaining({ kind: 'range-not-satisfiable' }));
  });

  it('is written for Content-Range, with its last byte', () => {
    expect(contentRangeOf({ start: 0, end: 1 }, 10)).toBe('bytes 0-0/10');
    expect(contentRangeOf({ start: 5, end: 10 }, 10)).toBe('bytes 5-9/10');
    expect(lengthOf({ start: 5, end: 10 })).toBe(5);
  });
});

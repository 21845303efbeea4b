import { describe, expect, it } from 'vitest';
import { coalesceRanges, framePartsOf } from './byte-parts.ts';

const ranges = (...bounds: readonly [number, number][]) =>
  bounds.map(([start, end]) => ({ start, end }));

describe('joining ranges', () => {
  it.each([
    ['one', ranges([0, 5]), ranges([0, 5])],
    ['far apart', ranges([0, 5], [500, 600]), ranges([0, 5], [500, 600])],
    ['far apart, backwards', ranges([500, 600], [0, 5]), ranges([500, 600], [0, 5])],
    ['one inside another', ranges([0, 900], [300, 400]), ranges([0, 900])],
    ['equal', ranges([7, 9], [7, 9]), ranges([7, 9])],
    ['touching', ranges([0, 5], [5, 9]), ranges([0, 9])],
    ['nearly touching', ranges([0, 5], [132, 140]), ranges([0, 140])],
    ['just not', ranges([0, 5], [133, 140]), ranges([0, 5], [133, 140])],
    ['a chain', ranges([0, 100], [900, 1_000], [90, 950]), ranges([0, 1_000])],
    [
      'in the order of the first asked',
      ranges([9_000, 9_001], [0, 1], [9_100, 9_101], [3, 4]),
      ranges([9_000, 9_101], [0, 4]),
    ],
  ])('%s', (_name, asked, joined) => {
    expect(coalesceRanges(asked)).toEqual(joined);
  });
});

it('the frame of a body in parts knows the length of the whole', () => {
  const asked = ranges([0, 3], [10, 12]);
  const frame = framePartsOf(asked, { sizeBytes: 20, contentType: 'text/plain; x=é' }, 'B');
  const body = `${frame.heads[0]}abc${frame.heads[1]}kl${frame.tail}`;
  expect(Buffer.byteLength(body)).toBe(frame.lengthBytes);
  expect(body).toBe(
    '--B\r\nContent-Type: text/plain; x=é\r\nContent-Range: bytes 0-2/20\r\n\r\nabc' +
      '\r\n--B\r\nContent-Type: text/plain; x=é\r\nContent-Range: bytes 10-11/20\r\n\r\nkl\r\n--B--\r\n',
  );
});

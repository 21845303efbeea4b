import { randomBytes } from 'node:crypto';
import { type ByteRange, contentRangeOf, lengthOf } from '../byte-range.ts';

/** Ranges closer than this are sent as one: a part of its own costs about as much. */
const gapMinBytes = 128;

/**
 * Joins ranges that overlap or nearly touch (RFC 9110 section 15.3.7.2), in the order in which each was first asked for. What remains covers all that was asked
 * and no byte twice. Pure.
 */
export function coalesceRanges(ranges: readonly ByteRange[]): ByteRange[] {
  const sorted = ranges
    .map((range, place) => ({ ...range, place }))
    .sort((a, b) => a.start - b.start);
  const joined: { start: number; end: number; place: number }[] = [];
  for (const range of sorted) {
    const last = joined.at(-1);
    if (last && range.start - last.end < gapMinBytes) {
      last.end = Math.max(last.end, range.end);
      last.place = Math.min(last.place, range.place);
    } else {
      joined.push(range);
    }
  }
  return joined.sort((a, b) => a.place - b.place).map(({ start, end }) => ({ start, end }));
}

/** The frame of a `multipart/byteranges` body: what stands before each range and after the last (RFC 9110 section 14.6). */
export interface PartsFrame {
  readonly contentType: string;
  readonly lengthBytes: number;
  /** One text for each range, in order. */
  readonly heads: readonly string[];
  readonly tail: string;
}

export function framePartsOf(
  ranges: readonly ByteRange[],
  content: { readonly sizeBytes: number; readonly contentType: string },
  boundary: string = randomBytes(16).toString('hex'),
): PartsFrame {
  const heads = ranges.map(
    (range, index) =>
      `${index === 0 ? '' : '\r\n'}--${boundary}\r\nContent-Type: ${content.contentType}\r\nContent-Range: ${contentRangeOf(range, content.sizeBytes)}\r\n\r\n`,
  );
  const tail = `\r\n--${boundary}--\r\n`;
  const framesBytes = [...heads, tail].reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  return {
    contentType: `multipart/byteranges; boundary=${boundary}`,
    lengthBytes: framesBytes + ranges.reduce((sum, range) => sum + lengthOf(range), 0),
    heads,
    tail,
  };
}

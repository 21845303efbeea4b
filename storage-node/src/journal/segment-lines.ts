import { crc32 } from 'node:zlib';
import { journalLimits, parseJournalLine } from '@dfs/shared/cluster';
import { readFully } from '../raw-file.ts';

/**
 * A segment's lines: eight hexadecimal digits (CRC-32 of the record's bytes), a blank, the record as JSON. What a person sees with `less` is what is there.
 */
const crcDigits = 8;
const prefixBytes = crcDigits + 1;
export const segmentLineMaxBytes = journalLimits.recordMaxBytes + prefixBytes;
const chunkBytes = 256 * 1024;
const newline = 0x0a;

export const encodeSegmentLine = (record: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from(`${crc32(record).toString(16).padStart(crcDigits, '0')} `, 'latin1'),
    record,
    Buffer.from('\n'),
  ]);

export interface SegmentLine {
  /** Where it begins in the file. */
  readonly offset: number;
  /** After its end. */
  readonly endOffset: number;
  /** Absent: the line is damaged, or has no end. */
  readonly record?: { readonly number: number; readonly epoch: number; readonly bytes: Buffer };
}

/** The lines of a file from `start` to `end`, with the memory of the longest one. A line that is longer than any record is given as a damaged one. */
export async function* segmentLines(
  fd: number,
  { start, end }: { readonly start: number; readonly end: number },
): AsyncGenerator<SegmentLine> {
  let rest: Buffer = Buffer.alloc(0);
  let offset = start;
  let isTooLong = false;
  let position = start;
  while (position < end) {
    const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, end - position));
    const filledBytes = await readFully(fd, chunk, position);
    if (filledBytes === 0) break;
    position += filledBytes;
    const bytes = chunk.subarray(0, filledBytes);
    let at = 0;
    for (;;) {
      const lineEnd = bytes.indexOf(newline, at);
      if (lineEnd < 0) break;
      const piece = bytes.subarray(at, lineEnd);
      const endOffset = position - filledBytes + lineEnd + 1;
      const line = rest.byteLength === 0 ? piece : Buffer.concat([rest, piece]);
      yield { offset, endOffset, ...(isTooLong ? {} : recordOf(line)) };
      rest = Buffer.alloc(0);
      isTooLong = false;
      offset = endOffset;
      at = lineEnd + 1;
    }
    isTooLong ||= rest.byteLength + filledBytes - at > segmentLineMaxBytes;
    rest = isTooLong ? Buffer.alloc(0) : Buffer.concat([rest, bytes.subarray(at)]);
  }
  if (rest.byteLength > 0 || isTooLong) yield { offset, endOffset: position };
}

function recordOf(line: Buffer): Pick<SegmentLine, 'record'> {
  const bytes = line.subarray(prefixBytes);
  const crc = line.toString('latin1', 0, crcDigits);
  if (!/^[0-9a-f]{8}$/.test(crc) || line[crcDigits] !== 0x20) return {};
  if (Number.parseInt(crc, 16) !== crc32(bytes)) return {};
  const parsed = parseJournalLine(bytes.toString('latin1'));
  return parsed ? { record: { ...parsed, bytes } } : {};
}

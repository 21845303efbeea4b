import { StoreError } from './errors.ts';

/** Bytes `start` to `end` of a content, `end` not included: `end - start` bytes. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** A range as a client asks for it (RFC 9110 section 14.1.2). */
export type RangeSpec =
  | { readonly kind: 'from'; readonly first: number; readonly last?: number }
  | { readonly kind: 'suffix'; readonly length: number };

/** More ranges than this in one request are treated as none asked: the whole is sent. */
const rangesMax = 16;

/**
 * Parses a `Range` header. Undefined when it asks for nothing that we understand (another unit, bad syntax, too many): RFC 9110 lets a
 * server ignore it then and send the whole.
 */
export function parseRangeHeader(header: string | undefined): RangeSpec[] | undefined {
  const match = header === undefined ? null : /^bytes\s*=\s*(.+)$/i.exec(header.trim());
  if (!match?.[1]) return undefined;
  const parts = match[1]
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  if (parts.length === 0 || parts.length > rangesMax) return undefined;
  const specs: RangeSpec[] = [];
  for (const part of parts) {
    const bounds = /^(\d*)-(\d*)$/.exec(part);
    if (!bounds || part === '-') return undefined;
    const [, first = '', last = ''] = bounds;
    if (first === '') specs.push({ kind: 'suffix', length: positionOf(last) });
    else if (last === '') specs.push({ kind: 'from', first: positionOf(first) });
    else if (positionOf(last) < positionOf(first)) return undefined;
    else specs.push({ kind: 'from', first: positionOf(first), last: positionOf(last) });
  }
  return specs;
}

/** Some clients write the largest number they know for "to the end"; no content is that long. */
const positionOf = (digits: string) => Math.min(Number(digits), Number.MAX_SAFE_INTEGER);

/** The bytes that one asked range means in a content of `sizeBytes`, or undefined when it touches none of them. */
export function resolveRange(spec: RangeSpec, sizeBytes: number): ByteRange | undefined {
  if (spec.kind === 'suffix') {
    if (spec.length === 0 || sizeBytes === 0) return undefined;
    return { start: Math.max(0, sizeBytes - spec.length), end: sizeBytes };
  }
  if (spec.first >= sizeBytes) return undefined;
  return { start: spec.first, end: Math.min(sizeBytes, (spec.last ?? sizeBytes - 1) + 1) };
}

/** All satisfiable ranges, in the order asked. Rejects with `range-not-satisfiable` when none is. */
export function resolveRanges(specs: readonly RangeSpec[], sizeBytes: number): ByteRange[] {
  const ranges = specs.flatMap((spec) => resolveRange(spec, sizeBytes) ?? []);
  if (ranges.length > 0) return ranges;
  throw new StoreError(
    'range-not-satisfiable',
    `The range lies outside the content of ${sizeBytes} bytes.`,
    {
      hint:
        sizeBytes === 0
          ? 'It is empty: ask without a range.'
          : `Ask for bytes 0 to ${sizeBytes - 1}.`,
    },
  );
}

export const contentRangeOf = (range: ByteRange, sizeBytes: number) =>
  `bytes ${range.start}-${range.end - 1}/${sizeBytes}`;

export const lengthOf = (range: ByteRange) => range.end - range.start;

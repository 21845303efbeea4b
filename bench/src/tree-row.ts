/** What a ratio may be. */
export type Bound = { readonly atMost: number } | { readonly atLeast: number };

/** One line of a bench: a figure of ours beside what it is judged by. */
export interface TreeRow {
  readonly title: string;
  readonly ours: number;
  readonly reference: number;
  readonly referenceName: string;
  readonly unit: 'ms' | 'names/s' | 'MiB' | 'MiB/s' | 'requests/s';
  /** ours / reference. */
  readonly ratio: number;
  /** Absent: a figure for comparison. */
  readonly bound?: Bound | undefined;
  readonly isMet: boolean;
}

export function rowOf(parts: Omit<TreeRow, 'ratio' | 'isMet'>): TreeRow {
  const ratio = parts.ours / parts.reference;
  const { bound } = parts;
  return { ...parts, ratio, isMet: bound === undefined || isWithin(ratio, bound) };
}

const isWithin = (ratio: number, bound: Bound) =>
  'atMost' in bound ? ratio <= bound.atMost : ratio >= bound.atLeast;

const limitText = (bound: Bound | undefined) => {
  if (bound === undefined) return 'for comparison';
  return 'atMost' in bound ? `at most ${bound.atMost}` : `at least ${bound.atLeast}`;
};

export function textOfRows(rows: readonly TreeRow[]): string {
  return rows
    .map(({ title, ours, reference, referenceName, unit, ratio, bound, isMet }) => {
      const figures = `${rounded(ours)} ${unit}, ${referenceName} ${rounded(reference)} ${unit}`;
      return `${isMet ? 'met   ' : 'MISSED'}  ${title}: ${figures}, ratio ${rounded(ratio)} (${limitText(bound)})\n`;
    })
    .join('');
}

const rounded = (value: number) =>
  value >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)));

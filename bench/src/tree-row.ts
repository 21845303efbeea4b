/** One line of the tree's bench: a figure of ours beside what it is judged by. */
export interface TreeRow {
  readonly title: string;
  readonly ours: number;
  readonly reference: number;
  readonly referenceName: string;
  readonly unit: 'ms' | 'names/s' | 'MiB';
  /** ours / reference. */
  readonly ratio: number;
  readonly bound: { readonly atMost: number } | { readonly atLeast: number };
  readonly isMet: boolean;
}

export function rowOf(parts: Omit<TreeRow, 'ratio' | 'isMet'>): TreeRow {
  const ratio = parts.ours / parts.reference;
  const { bound } = parts;
  const isMet = 'atMost' in bound ? ratio <= bound.atMost : ratio >= bound.atLeast;
  return { ...parts, ratio, isMet };
}

export function textOfRows(rows: readonly TreeRow[]): string {
  return rows
    .map(({ title, ours, reference, referenceName, unit, ratio, bound, isMet }) => {
      const limit = 'atMost' in bound ? `at most ${bound.atMost}` : `at least ${bound.atLeast}`;
      const figures = `${rounded(ours)} ${unit}, ${referenceName} ${rounded(reference)} ${unit}`;
      return `${isMet ? 'met   ' : 'MISSED'}  ${title}: ${figures}, ratio ${rounded(ratio)} (${limit})\n`;
    })
    .join('');
}

const rounded = (value: number) =>
  value >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)));

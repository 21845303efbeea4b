import { parseUrlPath } from '@dfs/shared';

/** A part of a recursive copy that failed. */
export interface CopyFailure {
  readonly path: string;
  readonly error: string;
}

/** The failures that a 207 answer (RFC 4918 section 13) tells, as this project's store writes it. */
export function copyFailuresOf(xml: string): CopyFailure[] {
  return [...xml.matchAll(/<(?:\w+:)?response\b[^>]*>(.*?)<\/(?:\w+:)?response>/gs)].map(
    ([, response = '']) => {
      const href = (textOf(response, 'href') ?? '').replace(/^https?:\/\/[^/]*/, '');
      const { path } = parseUrlPath(href.replace(/^\/fs(?=\/)/, ''));
      const error = textOf(response, 'responsedescription') ?? textOf(response, 'status') ?? '';
      return { path, error: error.replace(/^HTTP\/\S+ /, '') };
    },
  );
}

const textOf = (xml: string, name: string) => {
  const text = new RegExp(`<(?:\\w+:)?${name}\\b[^>]*>(.*?)</(?:\\w+:)?${name}>`, 's').exec(
    xml,
  )?.[1];
  return text === undefined ? undefined : unescaped(text.trim());
};

const entities: Readonly<Record<string, string>> = {
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  amp: '&',
};

const unescaped = (text: string) =>
  text.replace(/&(lt|gt|quot|apos|amp|#\d+|#x[0-9a-f]+);/gi, (whole, name: string) => {
    if (!name.startsWith('#')) return entities[name.toLowerCase()] ?? whole;
    const code = /^#x/i.test(name) ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1));
    return String.fromCodePoint(code);
  });

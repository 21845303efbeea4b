/**
 * Patterns over names, as the shell has them: `*`, `?`, `[…]` with ranges, classes and `!`, and a backslash before what is meant literally.
 * Our own, since the libraries for it count UTF-16 units (`?` is no emoji to them) and take the brackets of `report (1)*` for an
 * operator; and it never backtracks over more than the last star, however a pattern is made.
 */
export interface NamePattern {
  matches(name: string): boolean;
}

export interface NamePatternOptions {
  /** Whether `*`, `?` and `[` may stand for the dot that a name starts with; the shell has it false, `find --name` true. */
  readonly matchesLeadingDot?: boolean;
  readonly ignoresCase?: boolean;
}

type Token = 'any' | { readonly fits: (character: string) => boolean; readonly isLiteral: boolean };

/** Whether a word has a `*`, `?` or `[…]` that no backslash takes the meaning from. */
export const isPattern = (word: string) => /[*?]|\[.+\]/su.test(word.replace(/\\./gsu, ''));

/** A word without the backslashes that take the meaning from what follows them. */
export const unescaped = (word: string) => word.replace(/\\(.)/gsu, '$1');

export function namePattern(pattern: string, options: NamePatternOptions = {}): NamePattern {
  const fold = options.ignoresCase ? (text: string) => text.toLowerCase() : (text: string) => text;
  const tokens = tokensOf([...fold(pattern)]);
  const [first] = tokens;
  const isDotMeant =
    options.matchesLeadingDot || (first !== undefined && first !== 'any' && first.isLiteral);
  return {
    matches: (name) => (isDotMeant || !name.startsWith('.')) && fits(tokens, [...fold(name)]),
  };
}

/** Goes back to the last star alone: what an earlier one took can stay as it is. */
function fits(tokens: readonly Token[], characters: readonly string[]): boolean {
  let at = 0;
  let position = 0;
  let star: { at: number; position: number } | undefined;
  while (position < characters.length) {
    const token = tokens[at];
    if (token === 'any') {
      star = { at, position };
      at += 1;
    } else if (token?.fits(characters[position] ?? '')) {
      at += 1;
      position += 1;
    } else if (star) {
      star.position += 1;
      at = star.at + 1;
      position = star.position;
    } else return false;
  }
  return tokens.slice(at).every((token) => token === 'any');
}

function tokensOf(characters: readonly string[]): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < characters.length; at += 1) {
    const character = characters[at] ?? '';
    const bracket = character === '[' ? bracketAt(characters, at) : undefined;
    if (bracket) {
      tokens.push({ fits: bracket.fits, isLiteral: false });
      at = bracket.end;
    } else if (character === '*') tokens.push('any');
    else if (character === '?') tokens.push({ fits: () => true, isLiteral: false });
    else if (character === '\\' && at + 1 < characters.length) {
      at += 1;
      tokens.push(literal(characters[at] ?? ''));
    } else tokens.push(literal(character));
  }
  return tokens;
}

const literal = (wanted: string): Token => ({
  fits: (character) => character === wanted,
  isLiteral: true,
});

const classes: Readonly<Record<string, RegExp>> = {
  alnum: /[\p{L}\p{N}]/u,
  alpha: /\p{L}/u,
  blank: /[ \t]/,
  cntrl: /\p{Cc}/u,
  digit: /[0-9]/,
  graph: /[^\s\p{Cc}]/u,
  lower: /\p{Ll}/u,
  print: /\P{Cc}/u,
  punct: /[\p{P}\p{S}]/u,
  space: /\s/u,
  upper: /\p{Lu}/u,
  xdigit: /[0-9a-fA-F]/,
};

/** The set that starts at an opening bracket; undefined when none closes it, and it is a character like any other. */
function bracketAt(
  characters: readonly string[],
  start: number,
): { fits: (character: string) => boolean; end: number } | undefined {
  let at = start + 1;
  const isNegated = characters[at] === '!' || characters[at] === '^';
  if (isNegated) at += 1;
  const tests: ((character: string) => boolean)[] = [];
  for (let isFirst = true; ; isFirst = false) {
    const character = characters[at];
    if (character === undefined) return undefined;
    if (character === ']' && !isFirst) break;
    const named = character === '[' ? classAt(characters, at) : undefined;
    if (named) {
      tests.push((tested) => named.expression.test(tested));
      at = named.end + 1;
      continue;
    }
    const low = takeAt(characters, at);
    const isRange =
      characters[low.next] === '-' && ![']', undefined].includes(characters[low.next + 1]);
    const high = isRange ? takeAt(characters, low.next + 1) : low;
    tests.push((tested) => isBetween(low.character, tested, high.character));
    at = high.next;
  }
  const isIn = (tested: string) => tests.some((test) => test(tested));
  return { fits: isNegated ? (tested) => !isIn(tested) : isIn, end: at };
}

/** One character of a set, which a backslash may stand before. */
function takeAt(characters: readonly string[], at: number): { character: string; next: number } {
  const isEscaped = characters[at] === '\\' && characters[at + 1] !== undefined;
  const place = isEscaped ? at + 1 : at;
  return { character: characters[place] ?? '', next: place + 1 };
}

function classAt(
  characters: readonly string[],
  start: number,
): { expression: RegExp; end: number } | undefined {
  const found = /^\[:([a-z]+):\]/.exec(characters.slice(start, start + 16).join(''));
  const expression = classes[found?.[1] ?? ''];
  return found && expression ? { expression, end: start + found[0].length - 1 } : undefined;
}

const pointOf = (character: string) => character.codePointAt(0) ?? 0;
const isBetween = (low: string, character: string, high: string) =>
  pointOf(low) <= pointOf(character) && pointOf(character) <= pointOf(high);

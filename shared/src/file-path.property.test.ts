import { describe, expect, it } from 'vitest';
import { StoreError } from './errors.ts';
import {
  alternativeName,
  baseNameOf,
  childOf,
  type FilePath,
  filePathOf,
  nameMaxBytes,
  namesOf,
  parentOf,
  parseFilePath,
  parseUrlPath,
  pathMaxBytes,
  rootPath,
  urlPathOf,
} from './file-path.ts';
import { seededRandom } from './testing/seeded-random.ts';

const seeds = Array.from({ length: 15 }, (_, index) => index + 1);
const textsPerSeed = 300;

/** What paths are made of, and what has broken parsers of them before. */
const pieces = [
  ...[
    '/',
    '//',
    '.',
    '..',
    '...',
    '/../',
    '/./',
    '\\',
    '..\\',
    '%',
    '%2f',
    '%2F',
    '%2e%2e',
    '%00',
    '%c0%af',
  ],
  ...[
    '\0',
    '\n',
    '\r',
    ' ',
    '?',
    '#',
    '&',
    ';',
    ':',
    '*',
    '~',
    '"',
    "'",
    '<',
    '>',
    '|',
    '\u202e',
    '\ufeff',
  ],
  ...[
    'a',
    'report',
    '.pdf',
    'é',
    'e\u0301',
    '日本',
    '😀',
    '\ud800',
    '\udc00',
    '\u{10ffff}',
    '__proto__',
  ],
  ...['x'.repeat(255), 'é'.repeat(127), '/y'.repeat(2_100)],
];

function textOf(random: () => number): string {
  const length = Math.floor(random() * 7);
  const piece = () => pieces[Math.floor(random() * pieces.length)] as string;
  return Array.from({ length }, piece).join('');
}

/** The path, or undefined when it was refused; nothing else may happen. */
function accepted(parse: () => FilePath): FilePath | undefined {
  try {
    return parse();
  } catch (error) {
    expect(error).toBeInstanceOf(StoreError);
    expect((error as StoreError).kind).toBe('invalid-path');
    return undefined;
  }
}

function expectCanonical(path: FilePath): void {
  expect(path.startsWith('/')).toBe(true);
  expect(path.isWellFormed()).toBe(true);
  expect(Buffer.byteLength(path)).toBeLessThanOrEqual(pathMaxBytes);
  for (const name of namesOf(path)) {
    expect(['', '.', '..']).not.toContain(name);
    expect(name).not.toMatch(/[/\0]/);
    expect(Buffer.byteLength(name)).toBeLessThanOrEqual(nameMaxBytes);
  }
  expect(parseFilePath(path)).toBe(path);
  expect(filePathOf(namesOf(path))).toBe(path);
  expect(parseUrlPath(urlPathOf(path)).path).toBe(path);
  if (path === rootPath) return;
  expect(childOf(parentOf(path), baseNameOf(path))).toBe(path);
  expect(namesOf(parentOf(path))).toEqual(namesOf(path).slice(0, -1));
}

describe('of any text', () => {
  it.each(seeds)('a path is made that means one thing in every form, or none (seed %i)', (seed) => {
    const random = seededRandom(seed);
    let paths = 0;
    for (let i = 0; i < textsPerSeed; i += 1) {
      const text = textOf(random);
      const path = accepted(() => parseFilePath(text));
      if (path === undefined) continue;
      paths += 1;
      expectCanonical(path);
    }
    expect(paths).toBeGreaterThan(textsPerSeed / 50);
  });

  it.each(seeds)('as a URL no path comes that leads upwards (seed %i)', (seed) => {
    const random = seededRandom(seed);
    for (let i = 0; i < textsPerSeed; i += 1) {
      const text = textOf(random);
      const path = accepted(() => parseUrlPath(text).path);
      if (path !== undefined) expectCanonical(path);
    }
  });

  it.each(seeds)('an alternative name is a name, another one for each number (seed %i)', (seed) => {
    const random = seededRandom(seed);
    for (let i = 0; i < textsPerSeed; i += 1) {
      const path = accepted(() => parseFilePath(textOf(random)));
      if (path === undefined || path === rootPath) continue;
      const name = baseNameOf(path);
      const others = [1, 2, 10, 999].map((n) => alternativeName(name, n));
      expect(new Set([name, ...others]).size).toBe(5);
      for (const other of others) expect(accepted(() => filePathOf([other]))).toBe(`/${other}`);
    }
  });
});

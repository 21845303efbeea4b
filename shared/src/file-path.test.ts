import { describe, expect, it } from 'vitest';
import { StoreError } from './errors.ts';
import {
  alternativeName,
  baseNameOf,
  checkName,
  childOf,
  type FilePath,
  filePathOf,
  isWithin,
  namesOf,
  parentOf,
  parseFilePath,
  parseUrlPath,
  rootPath,
  urlPathOf,
} from './file-path.ts';

/** What was refused, or the path that was accepted. */
function outcomeOf(parse: () => unknown): unknown {
  try {
    return parse();
  } catch (error) {
    expect(error).toBeInstanceOf(StoreError);
    const { kind, message, hint } = error as StoreError;
    expect(message).toMatch(/\.$/);
    expect(hint).toMatch(/\.$/);
    return kind;
  }
}

const lone = ['\ud800', '\udc00', 'a\udbff', '\udfffb'];

describe('a path that someone wrote', () => {
  it.each([
    ['', '/'],
    ['/', '/'],
    ['report.pdf', '/report.pdf'],
    ['/report.pdf', '/report.pdf'],
    ['a/b/', '/a/b'],
    ['/a b/ c ', '/a b/ c '],
    ['/...', '/...'],
    ['/..a/b..', '/..a/b..'],
    ['/%2e%2e', '/%2e%2e'],
    ['/a\\..\\b', '/a\\..\\b'],
    ['/日本語/Ünïcödé/\u{1f4be}', '/日本語/Ünïcödé/\u{1f4be}'],
    ['/e\u0301', '/e\u0301'],
    ['/\u202e', '/\u202e'],
    ['/\u0001\n\t', '/\u0001\n\t'],
    ['/constructor/__proto__', '/constructor/__proto__'],
  ])('takes %j as %j', (text, path) => {
    expect(parseFilePath(text)).toBe(path);
  });

  it.each([
    ...['..', '/..', '../a', '/a/..', '/a/../b', '/../../etc/passwd', '.', '/a/./b', '/a/.'],
    ...['//', '///', '//a', '/a//b', 'a//', '/a\0b', '\0', '/a/\0'],
    ...lone.map((text) => `/${text}`),
  ])('refuses %j', (text) => {
    expect(outcomeOf(() => parseFilePath(text))).toBe('invalid-path');
  });
});

describe('the path of a URL', () => {
  it.each([
    ['', '/', true],
    ['/', '/', true],
    ['/a', '/a', false],
    ['/a/', '/a', true],
    ['/a%20b/c', '/a b/c', false],
    ['/%E6%97%A5%E6%9C%AC', '/日本', false],
    ['/%252e%252e/%252F', '/%2e%2e/%2F', false],
    ['/...%2e', '/....', false],
    ['/a+b&c=d;e', '/a+b&c=d;e', false],
    ['/..%5c..', '/..\\..', false],
    // Bytes of UTF-8 that were not encoded, as `IncomingMessage.url` has them.
    [Buffer.from('/Grüße/日本').toString('latin1'), '/Grüße/日本', false],
    [Buffer.from('/ü%20ü').toString('latin1'), '/ü ü', false],
    ['/already 日本', '/already 日本', false],
  ])('takes %j as %j', (encoded, path, isDirectory) => {
    expect(parseUrlPath(encoded)).toEqual({ path, isDirectory });
  });

  it.each([
    ...['/..', '/../a', '/a/../b', '/a/..', '/a/../', '/.', '/./'],
    ...['/%2e%2e', '/%2E%2E/a', '/.%2e', '/%2e.', '/%2e', '/a/%2e%2e/%2e%2e/etc/passwd'],
    ...['/..%2f..%2fetc', '/%2F', '/a%2Fb', '/%2f%2e%2e', '/%5C%2f'],
    ...['/%00', '/a%00.txt', '/a\0'],
    ...['//', '//a', '/a//b', '/a//', '/%2F/'],
    ...[
      '/%',
      '/%2',
      '/%zz',
      '/%u002e',
      '/%c0%ae%c0%ae',
      '/%e0%80%ae',
      '/%f0%80%80%ae',
      '/%ff',
      '/%C3',
    ],
    ...['/%ED%A0%80', '/%ED%B0%80', '/\ud800'],
    ...['/\xe4', '/\xff\xfe'],
  ])('refuses %j', (encoded) => {
    expect(outcomeOf(() => parseUrlPath(encoded))).toBe('invalid-path');
  });

  it('leads back to the path that it was made of, whatever the names hold', () => {
    const names = [
      'a b',
      '100%',
      '#?&;=+',
      "it's (1)!*",
      '日本語',
      '\u{1f4be}',
      '\u0001',
      '~',
      '%2F',
      '\\',
    ];
    const path = filePathOf(names);
    const url = urlPathOf(path);
    expect(new URL(`http://host${url}?query`).pathname).toBe(url);
    expect(parseUrlPath(url)).toEqual({ path, isDirectory: false });
    expect(urlPathOf(rootPath)).toBe('/');
  });
});

describe('limits', () => {
  it.each([
    ['a'.repeat(255), true],
    ['a'.repeat(256), false],
    ['ä'.repeat(127), true],
    ['ä'.repeat(128), false],
    ['\u{1f4be}'.repeat(63), true],
    ['\u{1f4be}'.repeat(64), false],
  ])('count the bytes of a name, not its characters (%#)', (name, isGood) => {
    expect(outcomeOf(() => checkName(name))).toBe(isGood ? name : 'invalid-path');
    const encoded = `/${encodeURIComponent(name)}`;
    expect(outcomeOf(() => parseUrlPath(encoded).path)).toBe(isGood ? `/${name}` : 'invalid-path');
  });

  it('allow a path of 4 096 bytes and none of 4 097', () => {
    const parent = parseFilePath(`/${'a'.repeat(255)}`.repeat(15));
    expect(Buffer.byteLength(childOf(parent, 'b'.repeat(255)))).toBe(4096);
    const longer = `${`/${'a'.repeat(254)}`.repeat(16)}/${'b'.repeat(16)}`;
    expect(longer).toHaveLength(4097);
    expect(outcomeOf(() => parseFilePath(longer))).toBe('invalid-path');
    expect(parseFilePath(longer.slice(0, -1))).toHaveLength(4096);
    expect(outcomeOf(() => childOf(parent, 'b'.repeat(256)))).toBe('invalid-path');
  });
});

describe('names', () => {
  it.each(['', '.', '..', 'a/b', '/', 'a\0', ...lone])('refuses %j as a name', (name) => {
    expect(outcomeOf(() => checkName(name))).toBe('invalid-path');
    expect(outcomeOf(() => filePathOf(['a', name]))).toBe('invalid-path');
    expect(outcomeOf(() => childOf('/a' as FilePath, name))).toBe('invalid-path');
  });

  it.each([
    ['/', [], '', '/'],
    ['/a', ['a'], 'a', '/'],
    ['/a/b.txt', ['a', 'b.txt'], 'b.txt', '/a'],
    ['/a/b/c', ['a', 'b', 'c'], 'c', '/a/b'],
  ])('knows the parts of %j', (text, names, baseName, parent) => {
    const path = parseFilePath(text);
    expect(namesOf(path)).toEqual(names);
    expect(baseNameOf(path)).toBe(baseName);
    expect(parentOf(path)).toBe(parent);
    expect(filePathOf(names)).toBe(path);
  });
});

describe('another name for one that is taken', () => {
  it.each([
    ['report.pdf', 1, 'report (1).pdf'],
    ['report.pdf', 12, 'report (12).pdf'],
    ['report (1).pdf', 1, 'report (1) (1).pdf'],
    ['archive.tar.gz', 2, 'archive.tar (2).gz'],
    ['README', 1, 'README (1)'],
    ['.bashrc', 1, '.bashrc (1)'],
    ['.config.json', 1, '.config (1).json'],
    ['ends with dot.', 1, 'ends with dot (1).'],
    ['日本.テキスト', 3, '日本 (3).テキスト'],
    [`a.${'x'.repeat(31)}`, 1, `a (1).${'x'.repeat(31)}`],
    [`a.${'x'.repeat(32)}`, 1, `a.${'x'.repeat(32)} (1)`],
  ])('makes of %j, for the %ith time, %j', (name, n, other) => {
    expect(alternativeName(name, n)).toBe(other);
  });

  it.each([
    [`${'a'.repeat(251)}.txt`, `${'a'.repeat(247)} (1).txt`],
    ['a'.repeat(255), `${'a'.repeat(251)} (1)`],
    [`${'ä'.repeat(125)}.txt`, `${'ä'.repeat(123)} (1).txt`],
    [`${'\u{1f4be}'.repeat(62)}.txt`, `${'\u{1f4be}'.repeat(61)} (1).txt`],
    [`${'\u{1f4be}'.repeat(63)}xyz`, `${'\u{1f4be}'.repeat(62)} (1)`],
  ])('cuts a long one between characters (%#)', (name, other) => {
    expect(Buffer.byteLength(name)).toBeLessThanOrEqual(255);
    expect(alternativeName(name, 1)).toBe(other);
    expect(checkName(other)).toBe(other);
  });

  it('is always a name', () => {
    for (const name of [
      'a',
      '.a',
      'a.b',
      `${'é'.repeat(100)}.${'é'.repeat(15)}`,
      '.'.repeat(255),
    ]) {
      for (const n of [1, 99, 1_000_000])
        expect(checkName(alternativeName(name, n))).not.toBe(name);
    }
  });
});

describe('a part of the tree', () => {
  it.each([
    ['/a', '/a', true],
    ['/a/b', '/a', true],
    ['/ab', '/a', false],
    ['/a', '/a/b', false],
    ['/', '/', true],
    ['/a', '/', true],
    ['/', '/a', false],
    ['/ä/b', '/ä', true],
    ['/äb', '/ä', false],
  ])('%s is within %s: %s', (path, above, is) => {
    expect(isWithin(path as FilePath, above as FilePath)).toBe(is);
  });
});

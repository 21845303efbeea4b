import { describe, expect, it } from 'vitest';
import { lastWordOf, parseLine, quoted } from './words.ts';

const texts = (line: string) =>
  parseLine(line).commands.map((command) => command.map(({ text }) => text));

describe('a line of the shell', () => {
  it.each([
    ['', []],
    ['   ', []],
    ['ls', [['ls']]],
    ['  rm  -r \'a b\'\t"c d" e\\ f ', [['rm', '-r', 'a b', 'c d', 'e f']]],
    [`put 'it'"'"'s' "say \\"hi\\"" a\\'b`, [['put', "it's", 'say "hi"', "a'b"]]],
    ['cat "a\\nb" a\\nb', [['cat', 'a\\nb', 'anb']]],
    ['rm \'\' ""', [['rm', '', '']]],
    ['cd /a; ls;;pwd', [['cd', '/a'], ['ls'], ['pwd']]],
    ['ls # a remark; rm x', [['ls']]],
    ['rm a#b \\#c', [['rm', 'a#b', '#c']]],
    ['echo $HOME "$x"', [['echo', '$HOME', '$x']]],
    ["rm 'two\nlines'\nls", [['rm', 'two\nlines'], ['ls']]],
    ['rm one\\\ntwo', [['rm', 'onetwo']]],
    ['rm 😀\\ü', [['rm', '😀ü']]],
    ["rm ';' \\; '#'", [['rm', ';', ';', '#']]],
  ])('%j is %j', (line, expected) => {
    expect(texts(line)).toEqual(expected);
    expect(parseLine(line).isComplete).toBe(true);
  });

  it.each(["rm 'a", 'rm "a', 'rm "a\\"', 'rm a\\', "rm 'a\nb"])('%j wants more', (line) => {
    expect(parseLine(line).isComplete).toBe(false);
  });

  it.each(['ls | head', 'ls > x', 'ls &', 'a && b', '(ls)', 'rm `ls`', 'cat < x'])(
    'refuses %j, which it would get wrong',
    (line) => {
      expect(() => parseLine(line)).toThrow(/means nothing here/);
    },
  );

  it.each([['\'|\' \\> "a&b"', ['|', '>', 'a&b']]])('takes them quoted: %j', (line, expected) => {
    expect(texts(line)).toEqual([expected]);
  });

  it.each([
    ['*.txt', '*.txt', true],
    ["'*.txt'", '\\*.txt', false],
    ['\\*.txt', '\\*.txt', false],
    ["'[1]'*", '\\[1\\]*', true],
    ['"a\\\\b"*', 'a\\\\b*', true],
    ['plain', 'plain', false],
  ])('knows of %s what was quoted', (line, pattern, mayBePattern) => {
    expect(parseLine(line).commands[0]?.[0]).toMatchObject({ pattern, mayBePattern });
  });

  it.each([
    'plain',
    'a b',
    "it's",
    '"',
    'a\\b',
    '*?[x]',
    '#a',
    'a;b|c&d<e>f(g)`h',
    '$x',
    "two\nlines's",
    'tab\there',
    '😀 ü',
    '-dash',
    '',
  ])('gets back %j from its quoted form', (name) => {
    const [command] = parseLine(`rm ${quoted(name)} end`).commands;
    expect(command?.map(({ text }) => text)).toEqual(['rm', name, 'end']);
    expect(command?.[1]?.mayBePattern).toBe(false);
  });
});

describe('the word that is being typed', () => {
  it.each([
    ['', [], '', ''],
    ['l', [], 'l', 'l'],
    ['ls ', ['ls'], '', ''],
    ['ls -l /pho', ['ls', '-l'], '/pho', '/pho'],
    ['ls my\\ fi', ['ls'], 'my fi', 'my\\ fi'],
    ['ls "my fi', ['ls'], 'my fi', '"my fi'],
    ["ls 'a;b", ['ls'], 'a;b', "'a;b"],
    ['cd /x; ls a', ['ls'], 'a', 'a'],
    ['cd /x;', [], '', ''],
    ['ls \\', ['ls'], '', '\\'],
  ])('of %j', (line, before, text, raw) => {
    expect(lastWordOf(line)).toEqual({ before, text, raw });
  });
});

import { describe, expect, it } from 'vitest';
import { findArguments } from '../program/find-arguments.ts';
import { type Candidate, type FindTestOptions, findTest } from './find-tests.ts';

const now = new Date('2026-11-25T12:00:00Z');
const file: Candidate = {
  text: 'photos/Summer/.a b.JPG',
  name: '.a b.JPG',
  kind: 'file',
  size: 1_025,
  modified: '2026-11-23T11:00:00.000Z',
};
const directory: Candidate = {
  text: '.',
  name: '.',
  kind: 'directory',
  modified: now.toISOString(),
};

describe('a test of find', () => {
  it.each<[FindTestOptions, boolean, boolean]>([
    [{}, true, true],
    [{ name: ['*'] }, true, true],
    [{ name: ['*.jpg'] }, false, false],
    [{ iname: ['*.jpg'] }, true, false],
    [{ name: ['.*', '*B*'] }, false, false],
    [{ name: ['.*', '*G'] }, true, false],
    [{ path: ['photos*JPG'] }, true, false],
    [{ type: ['f'] }, true, false],
    [{ type: ['d'] }, false, true],
    [{ type: ['f,d'] }, true, true],
    [{ size: ['1025c'] }, true, false],
    // Rounded up to whole units, as find does.
    [{ size: ['2k'] }, true, false],
    [{ size: ['-2k'] }, false, false],
    [{ size: ['+1k'] }, true, false],
    [{ size: ['3'] }, true, false],
    [{ size: ['-1M'] }, false, false],
    [{ size: ['1M'] }, true, false],
    // Whole days, what is left over not counted.
    [{ mtime: ['2'] }, true, false],
    [{ mtime: ['+1'] }, true, false],
    [{ mtime: ['+2'] }, false, false],
    [{ mtime: ['-1'] }, false, true],
    [{ mmin: ['2940'] }, true, false],
    [{ newermt: ['2026-11-24T00:00Z'] }, false, true],
    [{ newer: new Date('2026-11-23T10:59:59Z') }, true, true],
    [{ newer: new Date('2026-11-23T11:00:00Z') }, false, true],
  ])('%j', (options, ofFile, ofDirectory) => {
    const test = findTest(options, now);
    expect([test(file), test(directory)]).toEqual([ofFile, ofDirectory]);
  });

  it.each<FindTestOptions>([
    { type: ['x'] },
    { type: [''] },
    { size: ['k'] },
    { size: ['1KB'] },
    { size: ['1.5M'] },
    { mtime: ['1d'] },
    { mmin: [''] },
    { newermt: ['sometime'] },
  ])('refuses %j', (options) => {
    expect(() => findTest(options, now)).toThrow();
  });
});

describe('the arguments of find', () => {
  it.each([
    ['find a -name *.txt b', 'find a --name=*.txt b'],
    ['find -name -x -type f', 'find --name=-x --type=f'],
    ['find -size -10k -print0', 'find --size=-10k --print0'],
    ['find --name x --json', 'find --name=x --json'],
    ['find --name=x -maxdepth 1', 'find --name=x --maxdepth=1'],
    ['find -- -name x', 'find -- -name x'],
    ['find . -name', 'find . --name'],
    ['find -exec rm', 'find -exec rm'],
  ])('%s are %s', (written, understood) => {
    expect(findArguments(written.split(' ')).join(' ')).toBe(understood);
  });

  it.each(['!', '-o', '(', '-not'])('refuse %s, which would be a path', (operator) => {
    expect(() => findArguments(['find', '-name', 'a', operator, '-name', 'b'])).toThrow(operator);
  });
});

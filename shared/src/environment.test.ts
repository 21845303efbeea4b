import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  ConfigurationError,
  EnvironmentReader,
  parseBytes,
  parseDurationMs,
} from './environment.ts';
import { temporaryDirectory } from './testing/temporary-directory.ts';

describe('bytes', () => {
  it.each([
    ['0', 0],
    ['512', 512],
    ['1b', 1],
    ['1kB', 1_000],
    ['1k', 1_024],
    ['1KiB', 1_024],
    ['64MiB', 64 * 2 ** 20],
    ['64 mib', 64 * 2 ** 20],
    ['1GB', 1e9],
    ['1.5GiB', 1.5 * 2 ** 30],
    ['2TiB', 2 * 2 ** 40],
    [' 7 ', 7],
  ])('%j is %i', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  it.each([
    '',
    ' ',
    'MiB',
    '-1',
    '+1',
    '1e3',
    '1,5MB',
    '.5k',
    '1.',
    '1 2',
    '1PiB',
    '1constructor',
    '0x10',
    '9'.repeat(20),
    '9'.repeat(400),
    'NaN',
    '9007199254740992',
  ])('%j is no number of bytes', (text) => {
    expect(parseBytes(text)).toBeUndefined();
  });
});

describe('durations', () => {
  it.each([
    ['0', 0],
    ['15', 15_000],
    ['15s', 15_000],
    ['250ms', 250],
    ['0.5s', 500],
    ['5m', 300_000],
    ['5min', 300_000],
    ['24h', 86_400_000],
    ['30d', 30 * 86_400_000],
  ])('%j is %i ms', (text, ms) => {
    expect(parseDurationMs(text)).toBe(ms);
  });

  it.each(['', 's', '1y', '-1s', '1h30m', 'soon', '1constructor'])('%j is none', (text) => {
    expect(parseDurationMs(text)).toBeUndefined();
  });
});

describe('the settings of a program', () => {
  it('are those of the environment, or what they are by default', () => {
    const reader = new EnvironmentReader({
      A: ' text ',
      N: '7',
      B: '1MiB',
      D: '2s',
      T: 'Yes',
      F: 'off',
      U: 'http://host:1//',
      C: 'WARN',
      EMPTY: '  ',
    });
    expect(reader.text('A', 'x')).toBe('text');
    expect(reader.text('EMPTY', 'x')).toBe('x');
    expect(reader.optional('MISSING', 'EMPTY', 'A')).toBe('text');
    expect(reader.required('A', 'a letter')).toBe('text');
    expect(reader.integer('N', 1, { min: 0, max: 7 })).toBe(7);
    expect(reader.integer('MISSING', 1, { min: 0, max: 7 })).toBe(1);
    expect(reader.bytes('B', 0)).toBe(2 ** 20);
    expect(reader.durationMs('D', 0)).toBe(2_000);
    expect(reader.flag('T', false)).toBe(true);
    expect(reader.flag('F', true)).toBe(false);
    expect(reader.flag('MISSING', true)).toBe(true);
    expect(reader.url('U')).toBe('http://host:1');
    expect(reader.url('MISSING')).toBeUndefined();
    expect(reader.choice('C', 'info', ['debug', 'info', 'warn'])).toBe('warn');
    expect(reader.choice('MISSING', 'info', ['debug', 'info', 'warn'])).toBe('info');
    expect(() => reader.finish()).not.toThrow();
  });

  it('that are wrong are all told at once, a line for each, with name, value and what is wanted', () => {
    const reader = new EnvironmentReader({
      N: '8',
      M: '1.5',
      B: '1 lightyear',
      D: '1ms',
      F: 'perhaps',
      U: 'ftp://host',
      V: 'host:7041',
      C: 'loud',
    });
    reader.required('R', 'where the data lies');
    reader.integer('N', 1, { min: 0, max: 7 });
    reader.integer('M', 1, { min: 0, max: 7 });
    reader.bytes('B', 0);
    reader.durationMs('D', 5, { min: 5 });
    reader.flag('F', true);
    reader.url('U');
    reader.url('V');
    reader.choice('C', 'info', ['debug', 'info']);
    reader.fault('X and Y do not go together.');
    expect(() => reader.finish()).toThrow(ConfigurationError);
    expect(() => reader.finish()).toThrow(
      [
        'R is not set: where the data lies.',
        'N is "8": it must be a whole number from 0 to 7.',
        'M is "1.5": it must be a whole number from 0 to 7.',
        'B is "1 lightyear": it must be a number of bytes such as 64MiB, at least 0.',
        'D is "1ms": it must be a duration such as 15s, 5m or 24h, at least 5 ms.',
        'F is "perhaps": it must be true or false.',
        'U is "ftp://host": it must be a URL such as http://10.0.0.5:7041.',
        'V is "host:7041": it must be a URL such as http://10.0.0.5:7041.',
        'C is "loud": it must be one of debug, info.',
        'X and Y do not go together.',
      ].join('\n'),
    );
  });
});

describe('a secret', () => {
  it('comes from its variable, an alias or a file, in this order', async () => {
    const directory = await temporaryDirectory();
    const file = join(directory.path, 'key');
    await writeFile(file, ' from the file\n');
    const all = { KEY: 'from the variable', OLD_KEY: 'from the alias', KEY_FILE: file };
    expect(new EnvironmentReader(all).secret('KEY', 'OLD_KEY')).toBe('from the variable');
    expect(new EnvironmentReader({ ...all, KEY: '' }).secret('KEY', 'OLD_KEY')).toBe(
      'from the alias',
    );
    expect(new EnvironmentReader({ KEY_FILE: file }).secret('KEY', 'OLD_KEY')).toBe(
      'from the file',
    );
    expect(new EnvironmentReader({}).secret('KEY', 'OLD_KEY')).toBeUndefined();
    await directory.remove();
  });

  it('whose file is absent or empty is a fault', async () => {
    const directory = await temporaryDirectory();
    const empty = join(directory.path, 'empty');
    await writeFile(empty, '\n');
    const reader = new EnvironmentReader({ A_FILE: join(directory.path, 'absent'), B_FILE: empty });
    reader.secret('A');
    reader.secret('B');
    expect(() => reader.finish()).toThrow(
      /A_FILE: .* cannot be read \(ENOENT\)\.\nB_FILE: .* is empty\./,
    );
    await directory.remove();
  });
});

describe('a directory', () => {
  it.each([undefined, '/srv/dfs'])('that is %j is it or the default', (value) => {
    const read = new EnvironmentReader({ DFS_DATA: value });
    expect(read.directory('DFS_DATA', './here')).toBe(value ?? './here');
    read.finish();
  });

  it.each(['', ' '])('that is %j is a fault rather than the default', (value) => {
    const read = new EnvironmentReader({ DFS_DATA: value });
    read.directory('DFS_DATA', './here');
    expect(() => read.finish()).toThrow(
      new ConfigurationError('DFS_DATA is empty: name a directory, or leave it out.'),
    );
  });
});

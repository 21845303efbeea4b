import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import type { Exchange } from './exchange.ts';
import { readDepth, readDestination, readOverwrite } from './tree-headers.ts';

const exchangeWith = (destination: string, host = 'files.example:7040', authority?: string) =>
  ({
    request: { method: 'MOVE', headers: { destination, host } } as unknown as IncomingMessage,
    target: { path: '/fs/a', query: '', ...(authority === undefined ? {} : { authority }) },
  }) as Exchange;

const outcomeOf = (read: () => unknown) => {
  try {
    return read();
  } catch (error) {
    return (error as { kind: string }).kind;
  }
};

describe('Destination', () => {
  it.each([
    ['/fs/a', 'files.example', '/a'],
    ['/fs/a/', 'files.example', '/a'],
    ['/fs', 'files.example', '/'],
    ['/fs/', 'files.example', '/'],
    ['/fs/%C3%A4/b%20c', 'files.example', '/ä/b c'],
    ['http://files.example/fs/a', 'files.example', '/a'],
    ['http://FILES.example:80/fs/a', 'files.example', '/a'],
    ['https://files.example/fs/a', 'files.example:443', '/a'],
    ['http://files.example:7040/fs/a', 'files.example:7040', '/a'],
    ['http://[::1]:7040/fs/a', '[::1]:7040', '/a'],
    ['http://files.example/fs/a', 'files.example:7040', 'other-server'],
    ['http://files.example:80/fs/a', 'files.example:443', 'other-server'],
    ['https://other.example/fs/a', 'files.example', 'other-server'],
    ['http://user@files.example/fs/a', 'files.example', 'other-server'],
    ['http://files.example', 'files.example', 'other-server'],
    ['/other/a', 'files.example', 'other-server'],
    ['/fsa/b', 'files.example', 'other-server'],
    ['/FS/a', 'files.example', 'other-server'],
    ['fs/a', 'files.example', 'invalid-request'],
    ['//files.example/fs/a', 'files.example', 'invalid-request'],
    ['file:///fs/a', 'files.example', 'invalid-request'],
    ['http:/fs/a', 'files.example', 'invalid-request'],
    ['', 'files.example', 'invalid-request'],
    ['/fs/a b', 'files.example', 'invalid-request'],
    ['/fs/ä', 'files.example', 'invalid-request'],
    ['/fs/a?x', 'files.example', 'invalid-request'],
    ['/fs/a#x', 'files.example', 'invalid-request'],
    ['/fs/a//b', 'files.example', 'invalid-path'],
    ['/fs/a/../b', 'files.example', 'invalid-path'],
    ['/fs/%2E%2E/b', 'files.example', 'invalid-path'],
    ['/fs/a%2Fb', 'files.example', 'invalid-path'],
    ['/fs/a%00', 'files.example', 'invalid-path'],
    ['/fs/%FF', 'files.example', 'invalid-path'],
  ])('%s of %s is %s', (destination, host, expected) => {
    expect(outcomeOf(() => readDestination(exchangeWith(destination, host)))).toBe(expected);
  });

  it('is compared with the host of the request target where that names one', () => {
    const at = (authority: string) =>
      outcomeOf(() =>
        readDestination(exchangeWith('http://real.example/fs/a', 'said.example', authority)),
      );
    expect(at('real.example')).toBe('/a');
    expect(at('said.example')).toBe('other-server');
  });
});

it.each([
  [undefined, true],
  ['T', true],
  ['F', false],
  ['t', 'invalid-request'],
  ['', 'invalid-request'],
])('Overwrite %j is %s', (overwrite, expected) => {
  const headers = overwrite === undefined ? {} : { overwrite };
  expect(outcomeOf(() => readOverwrite(headers))).toBe(expected);
});

it.each([
  [undefined, 'infinity'],
  ['infinity', 'infinity'],
  ['Infinity', 'infinity'],
  ['0', 0],
  ['1', 1],
  ['2', 'invalid-request'],
  ['1,noroot', 'invalid-request'],
])('Depth %j is %s', (depth, expected) => {
  expect(outcomeOf(() => readDepth(depth === undefined ? {} : { depth }))).toBe(expected);
});

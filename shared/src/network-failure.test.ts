import { describe, expect, it } from 'vitest';
import { StoreError } from './errors.ts';
import { NetworkError, networkCodeOf } from './network-failure.ts';

const coded = (code: string) => Object.assign(new Error(code), { code });
const ring = new Error('a');
ring.cause = new Error('b', { cause: ring });

describe('the code of a failure', () => {
  it.each([
    [coded('ECONNREFUSED'), 'ECONNREFUSED'],
    [new NetworkError('UND_ERR_BODY_TIMEOUT', 'silent'), 'UND_ERR_BODY_TIMEOUT'],
    [new Error('top', { cause: coded('EPIPE') }), 'EPIPE'],
    [new StoreError('unavailable', 'x', { cause: coded('ECONNRESET') }), 'ECONNRESET'],
    [new StoreError('no-room', 'x'), 'no-room'],
    [new StoreError('no-room', 'x', { cause: coded('ENOSPC') }), 'no-room'],
    [new AggregateError([coded('EHOSTUNREACH'), coded('ECONNREFUSED')]), 'EHOSTUNREACH'],
    [coded('HPE_INVALID_CONSTANT'), 'internal'],
    [coded('ENOENT'), 'internal'],
    [new TypeError('x'), 'internal'],
    [ring, 'internal'],
    ['a text', 'internal'],
    [undefined, 'internal'],
  ])('%# is %s', (error, code) => {
    expect(networkCodeOf(error)).toBe(code);
  });
});

import { describe, expect, it } from 'vitest';
import { plainAddress } from './client-address.ts';

describe('addresses in one form', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:c000:201', '192.0.2.1'],
    ['0:0:0:0:0:ffff:192.0.2.1', '192.0.2.1'],
    ['2001:DB8:0:0::1', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['::1', '::1'],
    ['::192.0.2.1', '::c000:201'],
    ['no:address', 'no:address'],
  ])('%s is compared as %s', (address, plain) => {
    expect(plainAddress(address)).toBe(plain);
  });
});

import { describe, expect, it } from 'vitest';
import { isInNetwork, parseNetwork } from './networks.ts';

describe('a network', () => {
  it.each([
    ['172.17.0.1', '172.17.0.1/32'],
    [' 172.17.0.1 ', '172.17.0.1/32'],
    ['10.1.2.3/8', '10.0.0.0/8'],
    ['192.168.1.130/25', '192.168.1.128/25'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['1.2.3.4/0', '0.0.0.0/0'],
    ['2001:DB8::1', '2001:db8::1/128'],
    ['2001:db8:0:0:0:0:0:1/64', '2001:db8::/64'],
    ['2001:db8:ffff::/33', '2001:db8:8000::/33'],
    ['::/0', '::/0'],
    ['::ffff:172.17.0.1', '172.17.0.1/32'],
    ['::ffff:ac11:1', '172.17.0.1/32'],
    ['::ffff:10.0.0.1/104', '10.0.0.0/8'],
  ])('written %s is %s', (text, network) => {
    expect(parseNetwork(text)).toBe(network);
    expect(parseNetwork(network)).toBe(network);
  });

  it.each([
    '',
    'example.com',
    '10.0.0',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0.0/1e1',
    '010.0.0.1',
    '0x7f.0.0.1',
    '2130706433',
    'fe80::1%eth0',
    '::1/129',
    '::ffff:10.0.0.0/95',
    '10.0.0.1,10.0.0.2',
  ])('is not %j', (text) => {
    expect(() => parseNetwork(text)).toThrow(/neither an address nor a network/);
  });
});

describe('an address', () => {
  it.each([
    ['10.255.0.1', '10.0.0.0/8'],
    ['172.17.0.1', '172.17.0.1/32'],
    ['::ffff:172.17.0.1', '172.17.0.1/32'],
    ['192.168.1.129', '192.168.1.128/25'],
    ['203.0.113.9', '0.0.0.0/0'],
    ['2001:db8::ffff', '2001:db8::/64'],
    ['fe80::1%eth0', 'fe80::/10'],
  ])('%s is in %s', (address, network) => {
    expect(isInNetwork(address, network)).toBe(true);
  });

  it.each([
    ['11.0.0.1', '10.0.0.0/8'],
    ['172.17.0.2', '172.17.0.1/32'],
    ['192.168.1.127', '192.168.1.128/25'],
    ['2001:db8:0:1::1', '2001:db8::/64'],
    ['10.0.0.1', '::/0'],
    ['::1', '0.0.0.0/0'],
    ['', '0.0.0.0/0'],
    ['nonsense', '0.0.0.0/0'],
  ])('%s is not in %s', (address, network) => {
    expect(isInNetwork(address, network)).toBe(false);
  });
});

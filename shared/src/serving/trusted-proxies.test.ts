import { describe, expect, it } from 'vitest';
import { TrustedProxies } from './trusted-proxies.ts';

const peer = (address: string, isTls = false) => ({ address, isTls });
const proxies = TrustedProxies.of('10.0.0.0/8, 2001:db8:1::/48,loopback');

describe('the address of a client', () => {
  it.each([
    ['nobody is trusted', TrustedProxies.none, '10.0.0.1', '192.0.2.7', '10.0.0.1'],
    ['the peer is no proxy', proxies, '192.0.2.1', '192.0.2.7', '192.0.2.1'],
    ['a proxy says nothing', proxies, '10.0.0.1', undefined, '10.0.0.1'],
    ['a proxy names it', proxies, '10.0.0.1', '192.0.2.7', '192.0.2.7'],
    ['two proxies are passed', proxies, '10.0.0.1', '192.0.2.7, 10.0.0.2', '192.0.2.7'],
    ['it claims others itself', proxies, '10.0.0.1', '127.0.0.1, 8.8.8.8, 192.0.2.7', '192.0.2.7'],
    ['all are proxies', proxies, '10.0.0.1', '10.0.0.3, 10.0.0.2', '10.0.0.3'],
    ['the proxy speaks nonsense', proxies, '10.0.0.1', 'unknown', '10.0.0.1'],
    ['what it claims is nonsense', proxies, '10.0.0.1', '192.0.2.7, <x>, 10.0.0.2', '10.0.0.2'],
    ['a number passes for an address', proxies, '10.0.0.1', '3221225991', '10.0.0.1'],
    ['a port is sent along', proxies, '10.0.0.1', '192.0.2.7:5123', '192.0.2.7'],
    ['it is IPv6 with a port', proxies, '10.0.0.1', '[2001:DB8::0:7]:5123', '2001:db8::7'],
    ['IPv4 comes mapped', proxies, '10.0.0.1', '::ffff:192.0.2.7', '192.0.2.7'],
    ['the proxy is IPv6', proxies, '2001:db8:1::5', '192.0.2.7', '192.0.2.7'],
    ['the proxy is on this machine', proxies, '::1', '192.0.2.7', '192.0.2.7'],
    ['the connection is gone', proxies, '', '192.0.2.7', ''],
  ])('is known when %s', (_when, trusted, address, forwardedFor, expected) => {
    const headers = forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor };
    expect(trusted.clientOf(peer(address), headers).address).toBe(expected);
  });

  it.each(['10.0.0.0/33', 'proxy.example', '10.0.0.0/', '10.0.0.1;10.0.0.2', '0.0.0.0/0'])(
    'is not told by what is no network: %s',
    (networks) => {
      expect(() => TrustedProxies.of(networks)).toThrow(/invalid/);
    },
  );
});

describe('the address by which a client reached us', () => {
  const said = {
    host: 'inside:7040',
    'x-forwarded-host': 'files.example',
    'x-forwarded-proto': 'https',
  };
  it.each([
    ['what it asked for', peer('192.0.2.1'), { host: 'files:7040' }, 'http://files:7040'],
    ['with TLS', peer('192.0.2.1', true), { host: 'files' }, 'https://files'],
    ['not what a stranger claims', peer('192.0.2.1'), said, 'http://inside:7040'],
    ['what a proxy says', peer('10.0.0.1'), said, 'https://files.example'],
    ['our own where a proxy says nothing', peer('10.0.0.1'), { host: '[::1]:1' }, 'http://[::1]:1'],
    [
      'the first one said',
      peer('10.0.0.1'),
      { ...said, 'x-forwarded-host': 'a.example, b' },
      'https://a.example',
    ],
    ['none without a host', peer('192.0.2.1'), {}, undefined],
    ['none from a bad host', peer('192.0.2.1'), { host: 'a/b"onload=' }, undefined],
  ])('is %s', (_what, from, headers, expected) => {
    expect(proxies.clientOf(from, headers).baseUrl).toBe(expected);
  });

  it('is the host of a target in absolute form', () => {
    const headers = { host: 'other' };
    expect(proxies.clientOf(peer('192.0.2.1'), headers, 'files').baseUrl).toBe('http://files');
  });
});

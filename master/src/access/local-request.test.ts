import { describe, expect, it } from 'vitest';
import { faultOfLocalRequest } from './local-request.ts';

describe('a request to a server without a key', () => {
  it.each([
    ['localhost', { host: 'localhost:7040' }],
    ['IPv4 loopback', { host: '127.0.0.1:7040' }],
    ['IPv6 loopback', { host: '[::1]:7040' }],
    ['no port', { host: 'LocalHost' }],
    ['a page of its own', { host: 'localhost:7040', origin: 'http://localhost:7040' }],
    ['an address typed in', { host: 'localhost:7040', 'sec-fetch-site': 'none' }],
  ])('is taken from %s', (_name, headers) => {
    expect(faultOfLocalRequest(headers)).toBeUndefined();
  });

  it.each([
    ['a name that was rebound to loopback', { host: 'evil.example:7040' }],
    ['a name that only begins like ours', { host: 'localhost.evil.example' }],
    ['a name with our address in its user part', { host: '127.0.0.1@evil.example' }],
    ['no host at all', {}],
    ['a page of another site', { host: 'localhost:7040', 'sec-fetch-site': 'cross-site' }],
    ['another origin', { host: 'localhost:7040', origin: 'http://evil.example' }],
    ['another port of this machine', { host: 'localhost:7040', origin: 'http://localhost:3000' }],
    ['a sandboxed page', { host: 'localhost:7040', origin: 'null' }],
  ])('is refused from %s', (_name, headers) => {
    expect(faultOfLocalRequest(headers)).toMatch(/\.$/);
  });

  it('is judged by the host in its target where that is in absolute form', () => {
    expect(faultOfLocalRequest({ host: 'localhost' }, 'evil.example')).toBeDefined();
    expect(faultOfLocalRequest({ host: 'evil.example' }, 'localhost:7040')).toBeUndefined();
  });
});

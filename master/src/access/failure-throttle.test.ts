import { StoreError } from '@dfs/shared';
import { FakeClock } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { FailureThrottle } from './failure-throttle.ts';

function start() {
  const clock = new FakeClock();
  const throttle = new FailureThrottle(clock);
  const fail = (address: string, times = 1) => {
    for (let n = 0; n < times; n += 1) throttle.failed(address);
  };
  /** For how many seconds the address is refused; 0: it is not. */
  const waitOf = (address: string) => {
    try {
      throttle.check(address);
      return 0;
    } catch (error) {
      expect(error).toBeInstanceOf(StoreError);
      expect((error as StoreError).kind).toBe('too-many-requests');
      return (error as StoreError).retryAfterSeconds;
    }
  };
  return { clock, throttle, fail, waitOf };
}

describe('wrong keys from one address', () => {
  it('are taken ten at once, then one each six seconds', () => {
    const { clock, fail, waitOf } = start();
    fail('192.0.2.1', 9);
    expect(waitOf('192.0.2.1')).toBe(0);
    fail('192.0.2.1');
    expect(waitOf('192.0.2.1')).toBe(6);
    expect(waitOf('192.0.2.2')).toBe(0);
    clock.advance(5_999);
    expect(waitOf('192.0.2.1')).toBe(1);
    clock.advance(1);
    expect(waitOf('192.0.2.1')).toBe(0);
    fail('192.0.2.1');
    expect(waitOf('192.0.2.1')).toBe(6);
    clock.advance(3_600_000);
    fail('192.0.2.1', 9);
    expect(waitOf('192.0.2.1')).toBe(0);
    fail('192.0.2.1');
    expect(waitOf('192.0.2.1')).toBe(6);
  });

  it('count together for an IPv6 network, since one machine has all of it', () => {
    const { fail, waitOf } = start();
    fail('2001:db8::1', 5);
    fail('2001:db8:0:0:ffff::2', 5);
    expect(waitOf('2001:db8::1:2:3')).toBe(6);
    expect(waitOf('2001:db8:0:0:1:2:3:4')).toBe(6);
    expect(waitOf('2001:db8:0:1::1')).toBe(0);
    expect(waitOf('2001:db9::1')).toBe(0);
    expect(waitOf('::2001:db8:0:0')).toBe(0);
  });

  it.each(['127.0.0.1', '127.1.2.3', '::1'])(
    'lock nobody out of their own machine: %s',
    (address) => {
      const { fail, waitOf } = start();
      fail(address, 100);
      expect(waitOf(address)).toBe(0);
    },
  );

  it('are told once a minute', () => {
    const { clock, throttle } = start();
    expect(throttle.failed('192.0.2.1')).toBe(true);
    expect(throttle.failed('192.0.2.1')).toBe(false);
    expect(throttle.failed('192.0.2.2')).toBe(true);
    clock.advance(59_999);
    expect(throttle.failed('192.0.2.1')).toBe(false);
    clock.advance(1);
    expect(throttle.failed('192.0.2.1')).toBe(true);
  });

  it('are forgotten, the longest ago first, when too many addresses sent some', () => {
    const { fail, waitOf } = start();
    fail('192.0.2.1', 10);
    fail('192.0.2.2', 10);
    for (let n = 0; n < 9_998; n += 1) fail(`10.1.${n >> 8}.${n & 255}`);
    fail('192.0.2.1');
    fail('10.2.0.0');
    expect(waitOf('192.0.2.1')).toBeGreaterThan(0);
    expect(waitOf('192.0.2.2')).toBe(0);
  });
});

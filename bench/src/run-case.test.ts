import { describe, expect, it } from 'vitest';
import { judge } from './run-case.ts';

describe('judging a ratio', () => {
  const throughput = { better: 'higher', atLeast: 0.3, aim: 0.5 } as const;
  const time = { better: 'lower', atLeast: 5, aim: 3 } as const;

  it.each([
    [0.29, throughput, 'below'],
    [0.3, throughput, 'ok'],
    [0.5, throughput, 'aim'],
    [5.1, time, 'below'],
    [5, time, 'ok'],
    [3, time, 'aim'],
    [Number.NaN, throughput, 'below'],
    [Number.NaN, time, 'below'],
  ])('calls %d beside %j %s', (ratio, bounds, verdict) => {
    expect(judge(ratio, bounds)).toBe(verdict);
  });
});

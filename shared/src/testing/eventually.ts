import { expect } from 'vitest';

/** An expectation on something that comes about by itself: asked again until it holds, or for so long that only a fault can be the reason. */
export const eventually = <T>(read: () => T | Promise<T>): ReturnType<typeof expect.poll<T>> =>
  expect.poll(read, { timeout: 20_000, interval: 20 });

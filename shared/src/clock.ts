/** Time as a dependency, so that tests can move it. */
export interface Clock {
  /** Wall-clock time, ms since 1970. Jumps when someone sets the clock. */
  now(): number;
  /** Never goes back and does not jump; only differences mean something. ms. */
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

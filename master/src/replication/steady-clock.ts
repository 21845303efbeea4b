import { type Clock, StoreError } from '@dfs/shared';

/** What two looks at both clocks may differ by without a jump, ms. */
const slackMs = 100;

/** A moment by the wall clock with which later ones can be compared as long as that clock was not set back. */
export interface SteadyMoment {
  /** Ms since 1970; a little early, so that a step too small to be noticed does no harm. */
  readonly atMs: number;
  /** False when the wall clock was set back since: times taken meanwhile may lie before this moment. */
  isSteady(): boolean;
}

/** Of what was compared while the clock was set back: nothing was changed, and it is to be done again. */
export const clockWasSet = () =>
  new StoreError('unavailable', 'The clock was set back meanwhile.', { hint: 'Try again.' });

/** The present moment. */
export function steadyMoment(clock: Clock): SteadyMoment {
  const offset = () => clock.now() - clock.monotonic();
  const before = offset();
  return {
    atMs: clock.now() - slackMs,
    isSteady: () => offset() - before > -slackMs,
  };
}

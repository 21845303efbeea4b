/** How a piece of a scrub's reading went, and where the pass stands. Times in ms. */
export interface ScrubMoment {
  /** A person waits for the pass: it is not spread over its time. */
  readonly isAsked: boolean;
  /** Share of the disk that was read, 0 to 1. */
  readonly doneShare: number;
  /** Since the pass began. */
  readonly elapsedMs: number;
  /** What a scheduled pass may take. */
  readonly passMs: number;
  readonly lastReadMs: number;
  /** Others read or write at the moment. */
  readonly isBusy: boolean;
}

/** Times as long as the last piece took: the share of the disk's time that is left to others. */
const restPerWork = { asked: 0.5, scheduled: 2, busy: 10 };
const restMaxMs = 1_000;

/**
 * How long to wait before the next piece is read: in proportion to what the last one took, so that a slow or busy disk is left alone for longer, and
 * no faster than a scheduled pass has to be. Pure.
 */
export function scrubPauseMs(moment: ScrubMoment): number {
  const { isAsked, doneShare, elapsedMs, passMs, lastReadMs, isBusy } = moment;
  const perWork = isBusy ? restPerWork.busy : restPerWork[isAsked ? 'asked' : 'scheduled'];
  const restMs = Math.min(restMaxMs, perWork * lastReadMs);
  if (isAsked) return restMs;
  return Math.max(restMs, passMs * doneShare - elapsedMs);
}

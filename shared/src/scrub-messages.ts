/** `POST /scrub` (every blob is read again from now on) and `GET /scrub` of a storage node. Times are ms since 1970 by the node's clock. */
export interface ScrubStatus {
  /** Absent when no pass runs. `doneShare`: of the disk, 0 to 1. */
  readonly running?: ScrubPass & { readonly doneShare: number };
  /** The last pass that came to its end. */
  readonly last?: ScrubPass & { readonly completedAtMs: number };
  /** Damaged copies that scrubs found and that were not replaced yet. */
  readonly awaitingRepair: number;
  /** Damaged copies that scrubs found and that were, after they were replaced, read again and found whole. */
  readonly repairedBlobs: number;
}

/** A pass over all blobs of a node. */
export interface ScrubPass {
  /** A person asked for it; others are spread over the time that they may take. */
  readonly isAsked: boolean;
  readonly startedAtMs: number;
  readonly checkedBlobs: number;
  readonly checkedBytes: number;
  readonly damagedBlobs: number;
}

/** A node that reads all its blobs again when asked. */
export interface ScrubbingNode {
  /** Begins a pass over all blobs, in place of a scheduled one; joins one that was asked for before. */
  startScrub(): Promise<ScrubStatus>;
  scrubStatus(): Promise<ScrubStatus>;
}

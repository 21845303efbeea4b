import type { HoldReason } from './decide.ts';

/** Why something that differs was left alone. */
export type HeldReason = HoldReason | 'changed-meanwhile' | 'not-empty' | 'in-the-way';

export interface Held {
  readonly path: string;
  readonly reason: HeldReason;
  readonly message?: string;
}

export interface Failed {
  readonly path: string;
  readonly error: unknown;
}

/** What became of each path of a tree that was made equal to another. */
export class MirrorReport {
  readonly created: string[] = [];
  readonly updated: string[] = [];
  readonly deleted: string[] = [];
  /** Files. */
  unchanged = 0;
  /** Only at the target, and left there since nothing was to be deleted. */
  kept = 0;
  /** Bytes of files that were written, or would be. */
  bytes = 0;
  readonly held: Held[] = [];
  readonly skipped: {
    readonly path: string;
    readonly reason: string;
    readonly isFailure: boolean;
  }[] = [];
  readonly failed: Failed[] = [];
  /** Why not everything was tried. */
  stopped: unknown;
}

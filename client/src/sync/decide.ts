/** What stands at one path of one side: the MD5 of a file, `directory`, or undefined for nothing. */
export type Content = string | undefined;

export const directoryContent = 'directory';
const isFile = (content: Content): content is string =>
  content !== undefined && content !== directoryContent;

/** One path as it stands on both sides. Push has the local folder as its source, pull the one of the store. */
export interface Facing {
  readonly source: Content;
  readonly target: Content;
  /** What both sides held when they were last made equal. */
  readonly base: Content;
}

export interface Permissions {
  /** `--delete`: names may go from the target. */
  readonly mayDelete: boolean;
  /** `--force`: what changed at the target since the last push or pull may be overwritten. */
  readonly isForced: boolean;
}

/** Why a path is left alone though the sides differ there. */
export type HoldReason =
  /** Both sides changed it, in different ways. */
  | 'both-changed'
  /** Only the target changed it: the source would bring the older content back. */
  | 'target-changed'
  /** They differ, and nothing is known of an earlier push or pull. */
  | 'never-synchronised'
  /** A file would take a directory's place, or a directory a file's, which needs `--delete`. */
  | 'other-kind';

export type Action =
  /** Both sides are alike. */
  | { readonly kind: 'same' }
  /** The target has nothing there. */
  | { readonly kind: 'create' }
  /** A file takes the place of another file. */
  | { readonly kind: 'update' }
  /** What is at the target goes, and what the source has takes its place: one is a file and the other a directory. */
  | { readonly kind: 'replace' }
  | { readonly kind: 'delete' }
  /** Only the target has it, and nothing is deleted. */
  | { readonly kind: 'keep' }
  | { readonly kind: 'hold'; readonly reason: HoldReason };

const hold = (reason: HoldReason): Action => ({ kind: 'hold', reason });

/**
 * What push or pull does at one path. Two rules: what takes a name from the target needs `mayDelete`, and what overwrites or deletes a content that came to the
 * target since the last push or pull needs `isForced`. Pure.
 *
 * Directories hold no content of their own: one that is missing is made, and one that is to go is deleted only when it turns out empty.
 */
export function decide(
  { source, target, base }: Facing,
  { mayDelete, isForced }: Permissions,
): Action {
  if (source === target) return { kind: 'same' };
  const [hasSourceChanged, hasTargetChanged] = [source !== base, target !== base];
  if (target === undefined) {
    // Deleted there and changed here; a file that was only deleted there comes back.
    const isInDoubt = isFile(source) && base !== undefined && hasSourceChanged;
    return isInDoubt && !isForced ? hold('both-changed') : { kind: 'create' };
  }
  if (source === undefined) {
    const isInDoubt = isFile(target) && base !== undefined && hasTargetChanged;
    if (isInDoubt && !isForced) return hold('both-changed');
    return { kind: mayDelete ? 'delete' : 'keep' };
  }
  if (hasTargetChanged && !isForced) {
    if (base === undefined) return hold('never-synchronised');
    return hold(hasSourceChanged ? 'both-changed' : 'target-changed');
  }
  if (isFile(source) && isFile(target)) return { kind: 'update' };
  return mayDelete ? { kind: 'replace' } : hold('other-kind');
}

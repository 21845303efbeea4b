import type { Command } from 'commander';
import type { Session } from '../session.ts';

/** All of `dfs`, handed to those of its commands that call or describe the others. */
export interface WholeCommand {
  /** Runs one call; resolves as `runCommand` does. */
  run(args: readonly string[], session: Session): Promise<number | undefined>;
  /** Every command, to look at. */
  create(session: Session): Promise<Command>;
}

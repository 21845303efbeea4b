import { StoreError } from '@dfs/shared';

/** What a user of a node is told while the master gives no answer: never the address of the master, which stands in the message of `cause`. */
export const silentMaster = (
  cause: unknown,
  hint = 'Start it again. Meanwhile this node serves what it served lately and what is public.',
): StoreError =>
  new StoreError('unavailable', 'The master of the store gives no answer.', {
    hint,
    retryAfterSeconds: 5,
    cause,
  });

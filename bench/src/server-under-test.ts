import type { LoadTarget } from './load-messages.ts';
import type { ProcessName } from './process-memory.ts';

/** A server that the load generator can be pointed at: ours, or one it is compared with. */
export interface ServerUnderTest {
  readonly name: string;
  readonly target: LoadTarget;
  readonly processes: ProcessName[];
  /** Whether copies are made after the answer, so that a round must wait for them. */
  readonly isReplicating: boolean;
  stop(): Promise<void>;
}

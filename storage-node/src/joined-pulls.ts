import type { BlobReceipt, PullRequest } from '@dfs/shared';
import { cancelled } from './write-turns.ts';

interface RunningPull {
  readonly result: Promise<BlobReceipt>;
  readonly controller: AbortController;
  waiting: number;
}

/** Pulls of the same blob run once. A pull ends when nobody waits for it any more. */
export class JoinedPulls {
  readonly #running = new Map<string, RunningPull>();

  join(
    request: PullRequest,
    signal: AbortSignal | undefined,
    run: (signal: AbortSignal) => Promise<BlobReceipt>,
  ): Promise<BlobReceipt> {
    if (signal?.aborted) return Promise.reject(cancelled(signal.reason));
    const pull = this.#find(request, run);
    pull.waiting += 1;
    if (!signal) return pull.result.finally(() => this.#leave(pull));
    return new Promise<BlobReceipt>((resolve, reject) => {
      const stop = () => {
        reject(cancelled(signal.reason));
        this.#leave(pull);
      };
      signal.addEventListener('abort', stop, { once: true });
      pull.result.then(resolve, reject).finally(() => {
        signal.removeEventListener('abort', stop);
        if (!signal.aborted) this.#leave(pull);
      });
    });
  }

  #find(
    { blobId, sizeBytes, md5 }: PullRequest,
    run: (signal: AbortSignal) => Promise<BlobReceipt>,
  ): RunningPull {
    const key = `${blobId} ${sizeBytes} ${md5}`;
    const running = this.#running.get(key);
    // One that was given up and has not ended yet is no one to join.
    if (running && !running.controller.signal.aborted) return running;
    const controller = new AbortController();
    const forget = () => {
      if (this.#running.get(key) === pull) this.#running.delete(key);
    };
    const result = run(controller.signal).finally(forget);
    result.catch(() => undefined);
    const pull: RunningPull = { result, controller, waiting: 0 };
    this.#running.set(key, pull);
    return pull;
  }

  #leave(pull: RunningPull): void {
    pull.waiting -= 1;
    if (pull.waiting === 0) pull.controller.abort();
  }
}

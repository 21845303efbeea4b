import type { ChildProcess } from 'node:child_process';
import { endProcess, forkProgram } from './child-process.ts';
import type { LoadJob, LoadResponseMessage, LoadResult } from './load-messages.ts';

const endPatienceMs = 5_000;

/** The load generator's process as seen from the bench. One job at a time. */
export class LoadProcess {
  private readonly child: ChildProcess;
  private nextId = 1;

  constructor() {
    this.child = forkProgram('load');
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /** Rejects when the job could not be run at all; failed requests are part of the result. */
  run(job: LoadJob): Promise<LoadResult> {
    const id = this.nextId;
    this.nextId += 1;
    return new Promise((resolve, reject) => {
      if (!this.child.connected) throw new Error('The load generator has ended.');
      const onMessage = (message: unknown) => {
        const response = message as LoadResponseMessage;
        if (response.id !== id) return;
        release();
        if ('result' in response) resolve(response.result);
        else reject(new Error(`${job.kind}: ${response.failure}`));
      };
      const onExit = () => {
        release();
        reject(new Error(`The load generator died during ${job.kind}.`));
      };
      const release = () => {
        this.child.off('message', onMessage);
        this.child.off('exit', onExit);
      };
      this.child.on('message', onMessage);
      this.child.on('exit', onExit);
      this.child.send({ id, job });
    });
  }

  async stop(): Promise<void> {
    await endProcess(this.child, 'SIGTERM', endPatienceMs);
  }
}

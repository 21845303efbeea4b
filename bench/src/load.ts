/**
 * The load generator: a process of its own, one for all servers that are compared, so that its
 * code is equally warm for each of them. Jobs come in and results go out as messages of the
 * parent's channel; it ends when the parent does.
 */
import type {
  LoadJob,
  LoadRequestMessage,
  LoadResponseMessage,
  LoadResult,
} from './load-messages.ts';
import { getOneFile } from './one-file.ts';
import { waitReplicated } from './replication-gauge.ts';
import { RunRecord } from './run-record.ts';
import { getSmallFiles, putSmallFiles } from './small-files.ts';
import { getStream, putStream } from './streams.ts';
import { TestContent } from './test-content.ts';

const content = new TestContent();

process.on('disconnect', () => process.exit(0));
process.on('message', (message) => {
  const { id, job } = message as LoadRequestMessage;
  run(job).then(
    (result) => answer({ id, result }),
    (error: Error) => answer({ id, failure: error.message }),
  );
});

function answer(message: LoadResponseMessage): void {
  process.send?.(message);
}

function run(job: LoadJob): Promise<LoadResult> {
  switch (job.kind) {
    case 'put-small-files':
      return putSmallFiles(job, content);
    case 'get-small-files':
      return getSmallFiles(job, content);
    case 'put-stream':
      return putStream(job, content);
    case 'get-stream':
      return getStream(job, content);
    case 'get-one-file':
      return getOneFile(job, content);
    case 'wait-replicated':
      return waitAsJob(job.target);
  }
}

async function waitAsJob(target: Parameters<typeof waitReplicated>[0]): Promise<LoadResult> {
  const record = new RunRecord();
  await waitReplicated(target);
  record.stopClock();
  return record.result();
}

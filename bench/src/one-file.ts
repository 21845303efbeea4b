import { HttpConnection } from './http-connection.ts';
import { requestHead } from './http-request.ts';
import type { GetOneFileJob, LoadResult, LoadTarget } from './load-messages.ts';
import { RunRecord } from './run-record.ts';
import { runLane } from './small-files.ts';
import type { TestContent } from './test-content.ts';

/** Gets one file over several connections, each asking again when the last answer came. Answers that began before the end are waited for and count. */
export async function getOneFile(job: GetOneFileJob, content: TestContent): Promise<LoadResult> {
  const { targets, sizeBytes, durationMs } = job;
  const lanes = await Promise.all(
    Array.from({ length: job.connections }, async (_, index) => {
      const target = targets[index % targets.length] as LoadTarget;
      return { target, connection: await HttpConnection.open(target.host, target.port) };
    }),
  );
  const record = new RunRecord();
  await Promise.all(
    lanes.map(({ target, connection }) => {
      const bytes = requestHead('GET', job.path, target);
      const next = () =>
        record.elapsedSoFarMs >= durationMs ? undefined : { bytes, ...expect(job, content) };
      return new Promise<void>((resolve) => {
        runLane(connection, { target, sizeBytes }, record, next, resolve);
      });
    }),
  );
  record.stopClock();
  return record.result();
}

function expect({ content: number, sizeBytes }: GetOneFileJob, content: TestContent) {
  const parts: Buffer[] = [];
  let gotBytes = 0;
  return {
    expectedStatus: 200,
    onBody: (bytes: Buffer) => {
      gotBytes += bytes.byteLength;
      if (number !== undefined) parts.push(Buffer.from(bytes));
    },
    isRight: () =>
      number === undefined
        ? gotBytes === sizeBytes
        : content.isSmall(number, Buffer.concat(parts), sizeBytes),
  };
}

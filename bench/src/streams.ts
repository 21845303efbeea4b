import { createHash } from 'node:crypto';
import { HttpConnection, headerOf, type ResponseHead } from './http-connection.ts';
import {
  type CollectedAnswer,
  collectAnswer,
  type RequestTarget,
  requestHead,
} from './http-request.ts';
import type { GetStreamJob, LoadResult, PutStreamJob } from './load-messages.ts';
import { RunRecord } from './run-record.ts';
import type { TestContent } from './test-content.ts';

/**
 * Puts one long file from memory. The MD5 of the whole was computed ahead and is compared, after
 * the clock, with the one in the answer (JSON `md5`, or the quoted ETag).
 */
export async function putStream(job: PutStreamJob, content: TestContent): Promise<LoadResult> {
  const chunks = content.chunks(job.content, job.sizeBytes);
  const md5 = content.md5(job.content, job.sizeBytes);
  const connection = await HttpConnection.open(job.target.host, job.target.port);
  const head = requestHead('PUT', job.path, job.target, job.sizeBytes);
  const record = new RunRecord();
  const sentAtMs = performance.now();
  const answer = await collectAnswer((handler) => connection.exchangeStream(head, chunks, handler));
  connection.close();
  record.stopClock();
  if (answer instanceof Error) {
    record.failed(answer.message);
  } else if (answer.head.status !== 201) {
    record.failed(`status ${answer.head.status} instead of 201: ${answer.text.slice(0, 200)}`);
  } else if (md5InAnswer(answer) !== md5) {
    record.failed(`the answer's MD5 is ${md5InAnswer(answer)}, the file's is ${md5}`);
  } else {
    record.succeeded(sentAtMs, job.sizeBytes);
  }
  return record.result();
}

/**
 * Gets one long file. The timed part counts the bytes that arrive; with `verifyMd5` their MD5 is
 * compared too, which belongs into a round that is thrown away.
 */
export async function getStream(job: GetStreamJob, content: TestContent): Promise<LoadResult> {
  const expectedMd5 = job.verifyMd5 ? content.md5(job.content, job.sizeBytes) : undefined;
  const first = await HttpConnection.open(job.target.host, job.target.port);
  const record = new RunRecord();
  const sentAtMs = performance.now();
  const path = job.followRedirect ? `${job.path}?redirect=1` : job.path;
  let answer = await drainAnswer(first, path, job.target, job.verifyMd5);
  first.close();
  if (job.followRedirect && !(answer instanceof Error)) {
    answer = await followRedirect(answer.head, job);
  }
  record.stopClock();
  if (answer instanceof Error) {
    record.failed(answer.message);
  } else if (answer.head.status !== 200) {
    record.failed(`status ${answer.head.status} instead of 200`);
  } else if (answer.sizeBytes !== job.sizeBytes) {
    record.failed(`${answer.sizeBytes} bytes instead of ${job.sizeBytes}`);
  } else if (answer.md5 !== expectedMd5) {
    record.failed(`the MD5 is ${answer.md5} instead of ${expectedMd5}`);
  } else {
    record.succeeded(sentAtMs, job.sizeBytes);
  }
  return record.result();
}

interface DrainedAnswer {
  head: ResponseHead;
  sizeBytes: number;
  md5: string | undefined;
}

async function followRedirect(
  head: ResponseHead,
  job: GetStreamJob,
): Promise<DrainedAnswer | Error> {
  const location = headerOf(head, 'location');
  if (head.status !== 307 || !location) {
    return new Error(`status ${head.status} instead of a 307 with a Location`);
  }
  const url = new URL(location, `http://${job.target.host}:${job.target.port}`);
  const port = Number(url.port === '' ? 80 : url.port);
  const second = await HttpConnection.open(url.hostname, port).catch((error: Error) => error);
  if (second instanceof Error) return second;
  // The address is signed: the key that opened the first door is not for the second one's eyes.
  const target = { host: url.hostname, port };
  const answer = await drainAnswer(second, `${url.pathname}${url.search}`, target, job.verifyMd5);
  second.close();
  return answer;
}

function drainAnswer(
  connection: HttpConnection,
  path: string,
  target: RequestTarget,
  isHashed: boolean,
): Promise<DrainedAnswer | Error> {
  const hash = isHashed ? createHash('md5') : undefined;
  let sizeBytes = 0;
  const request = requestHead('GET', path, target);
  return new Promise((resolve) => {
    connection.exchange(request, {
      onBody: (bytes) => {
        sizeBytes += bytes.length;
        hash?.update(bytes);
      },
      onEnd: (head) => resolve({ head, sizeBytes, md5: hash?.digest('hex') }),
      onError: resolve,
    });
  });
}

function md5InAnswer(answer: CollectedAnswer): string | undefined {
  const inJson = /"md5"\s*:\s*"([0-9a-f]{32})"/i.exec(answer.text)?.[1];
  const inEtag = headerOf(answer.head, 'etag')?.replaceAll('"', '');
  return (inJson ?? inEtag)?.toLowerCase();
}

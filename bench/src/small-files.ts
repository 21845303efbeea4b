import { HttpConnection } from './http-connection.ts';
import { requestHead } from './http-request.ts';
import type {
  GetSmallFilesJob,
  LoadResult,
  PutSmallFilesJob,
  SmallFilesJob,
} from './load-messages.ts';
import { waitReplicated } from './replication-gauge.ts';
import { RunRecord } from './run-record.ts';
import type { TestContent } from './test-content.ts';

/** After so many failures a server is broken rather than slow, and the run ends. */
const errorsMax = 50;
const readBackSamples = 32;
const nameDigits = 8;

/**
 * Puts files of distinct names and bytes over several connections, each sending its next when the
 * last was answered with 201. After the clock, a sample is read back and compared byte for byte.
 */
export async function putSmallFiles(
  job: PutSmallFilesJob,
  content: TestContent,
): Promise<LoadResult> {
  const connections = await openConnections(job);
  const templates = connections.map(() => new PutTemplate(job, content));
  const { limit } = job;
  const record = new RunRecord();
  let sent = 0;
  await eachConnection(connections, job, record, (lane) => {
    const isOver =
      'requests' in limit ? sent >= limit.requests : record.elapsedSoFarMs >= limit.durationMs;
    if (isOver) return undefined;
    const number = sent;
    sent += 1;
    return {
      bytes: templates[lane]?.render(number) ?? Buffer.alloc(0),
      expectedStatus: 201,
      onBody: undefined,
      isRight: () => true,
    };
  });
  if (job.untilReplicated) {
    const lastAnswerAtMs = performance.now();
    await waitReplicated(job.target);
    record.stopClockAfterReplication(lastAnswerAtMs);
  } else {
    record.stopClock();
  }
  const result = record.result();
  const stride = Math.max(1, Math.floor(sent / readBackSamples));
  const numbers = Array.from({ length: Math.ceil(sent / stride) }, (_, index) => index * stride);
  const mismatches = await readBack(job, content, numbers);
  return {
    ...result,
    errorCount: result.errorCount + mismatches.length,
    errorSamples: [...result.errorSamples, ...mismatches],
  };
}

/**
 * Gets files that `putSmallFiles` stored, in an order that is scattered and the same for every
 * server. Every answer is compared byte for byte: at 4 KiB that costs less than a microsecond.
 */
export async function getSmallFiles(
  job: GetSmallFilesJob,
  content: TestContent,
): Promise<LoadResult> {
  const connections = await openConnections(job);
  const record = new RunRecord();
  let sent = 0;
  await eachConnection(connections, job, record, () => {
    if (record.elapsedSoFarMs >= job.durationMs) return undefined;
    const number = (sent * 7919) % job.fileCount;
    sent += 1;
    return getRequest(job, content, number);
  });
  record.stopClock();
  return record.result();
}

export interface SmallRequest {
  bytes: Buffer | string;
  expectedStatus: number;
  onBody: ((bytes: Buffer) => void) | undefined;
  /** Asked once the answer is complete. */
  isRight: () => boolean;
}

async function readBack(
  job: SmallFilesJob,
  content: TestContent,
  numbers: number[],
): Promise<string[]> {
  const record = new RunRecord();
  const [connection] = await openConnections({ ...job, connections: 1 });
  if (!connection) return [];
  const waiting = [...numbers];
  await eachConnection([connection], job, record, () => {
    const number = waiting.shift();
    return number === undefined ? undefined : getRequest(job, content, number);
  });
  return record.result().errorSamples.map((reason) => `reading back: ${reason}`);
}

function getRequest(job: SmallFilesJob, content: TestContent, number: number): SmallRequest {
  const parts: Buffer[] = [];
  return {
    bytes: requestHead('GET', fileName(job, number), job.target),
    expectedStatus: 200,
    onBody: (bytes) => parts.push(Buffer.from(bytes)),
    isRight: () => {
      const received = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
      return content.isSmall(job.firstContent + number, received, job.sizeBytes);
    },
  };
}

/** Keeps each connection busy with `next` until it gives nothing more. Closes them. */
async function eachConnection(
  connections: HttpConnection[],
  job: SmallFilesJob,
  record: RunRecord,
  next: (lane: number) => SmallRequest | undefined,
): Promise<void> {
  const lanes = connections.map((connection, lane) => {
    return new Promise<void>((resolve) => {
      runLane(connection, job, record, () => next(lane), resolve);
    });
  });
  await Promise.all(lanes);
}

/** Keeps a connection, and those that follow it, busy with `next` until it gives nothing more. Calls `onIdle` then. */
export function runLane(
  opened: HttpConnection,
  job: Pick<SmallFilesJob, 'target' | 'sizeBytes'>,
  record: RunRecord,
  next: () => SmallRequest | undefined,
  onIdle: () => void,
): void {
  let connection = opened;

  const sendNext = () => {
    const request = record.errors < errorsMax ? next() : undefined;
    if (!request) {
      connection.close();
      onIdle();
      return;
    }
    const sentAtMs = performance.now();
    connection.exchange(request.bytes, {
      onBody: (bytes) => request.onBody?.(bytes),
      onEnd: (head) => {
        if (head.status !== request.expectedStatus) {
          record.failed(`status ${head.status} instead of ${request.expectedStatus}`);
        } else if (!request.isRight()) {
          record.failed('the bytes differ from those that were stored');
        } else {
          record.succeeded(sentAtMs, job.sizeBytes);
        }
        if (connection.isOpen) sendNext();
        else reconnect();
      },
      onError: (error) => {
        record.failed(error.message);
        reconnect();
      },
    });
  };

  const reconnect = () => {
    HttpConnection.open(job.target.host, job.target.port).then(
      (replacement) => {
        connection = replacement;
        sendNext();
      },
      (error: Error) => {
        record.failed(error.message);
        onIdle();
      },
    );
  };

  sendNext();
}

/** The whole PUT request in one piece of memory, in which only name and body change. */
class PutTemplate {
  private readonly job: SmallFilesJob;
  private readonly content: TestContent;
  private readonly request: Buffer;
  private readonly nameOffset: number;
  private readonly bodyOffset: number;

  constructor(job: SmallFilesJob, content: TestContent) {
    const head = requestHead('PUT', fileName(job, 0), job.target, job.sizeBytes);
    this.job = job;
    this.content = content;
    this.bodyOffset = head.length;
    this.nameOffset = head.indexOf(`${job.prefix}/`) + job.prefix.length + 1;
    this.request = Buffer.alloc(head.length + job.sizeBytes);
    this.request.write(head, 0, 'latin1');
  }

  /** The memory is used again by the next call: the answer to this request must have come. */
  render(number: number): Buffer {
    this.request.write(nameDigitsOf(number), this.nameOffset, 'latin1');
    const contentNumber = this.job.firstContent + number;
    this.content.writeSmall(contentNumber, this.request, this.bodyOffset, this.job.sizeBytes);
    return this.request;
  }
}

function fileName(job: SmallFilesJob, number: number): string {
  return `${job.prefix}/${nameDigitsOf(number)}`;
}

function nameDigitsOf(number: number): string {
  return number.toString().padStart(nameDigits, '0');
}

function openConnections(job: SmallFilesJob): Promise<HttpConnection[]> {
  const { host, port } = job.target;
  return Promise.all(
    Array.from({ length: job.connections }, () => HttpConnection.open(host, port)),
  );
}

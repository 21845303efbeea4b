import { once } from 'node:events';
import { addAbortSignal } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import {
  type ByteRange,
  contentRangeOf,
  lengthOf,
  type NodeId,
  parseNodeId,
  parseRangeHeader,
  resolveRanges,
  StoreError,
} from '@dfs/shared';
import type { FileRef, OpenedFile } from '../../files/file-types.ts';
import type { FileRecord, NamedFile } from '../../metadata/metadata-repository.ts';
import { coalesceRanges, framePartsOf } from './byte-parts.ts';
import { isRangeWanted, judgeRead } from './conditions.ts';
import type { Exchange } from './exchange.ts';
import { type FileHeaders, fileHeadersOf } from './file-headers.ts';
import { checkServing, type Front } from './front.ts';
import { findReadable } from './lookup.ts';

/**
 * `GET` and `HEAD` of a file, by path or by the id of its content. HEAD goes the same way up to the first byte, so that it tells what GET would:
 * also that no copy can be reached.
 */
export async function getFile(front: Front, exchange: Exchange, ref: FileRef): Promise<void> {
  checkServing(front.nodes);
  const named = await findReadable(front, exchange, ref);
  const avoid = readAvoid(exchange);
  if (exchange.query.get('redirect') === '1' && (await redirect(front, exchange, named, avoid))) {
    return;
  }
  const validator = { md5: named.file.md5, modifiedAtMs: named.entry.modifiedAtMs };
  const { headers } = exchange.request;
  const verdict = judgeRead(headers, validator);
  if (verdict === 'failed') {
    throw new StoreError('precondition-failed', `${named.path} is not what the condition names.`, {
      hint: 'It was changed: fetch it anew without the condition.',
    });
  }
  const answer = fileHeadersOf(named, {
    requestId: exchange.id,
    isDownload: exchange.query.get('download') === '1',
    isById: 'id' in ref,
  });
  if (verdict === 'not-modified') {
    exchange.response.writeHead(304, answer.common).end();
    return;
  }
  const isRange = isRangeWanted(headers['if-range']?.toString(), validator, front.clock.now());
  const specs = isRange ? parseRangeHeader(headers.range) : undefined;
  const send = new FileSender(front, exchange, named.file, answer, avoid);
  if (!specs) return send.whole();
  const ranges = coalesceRanges(rangesOf(specs, named.file.sizeBytes, exchange));
  const [first] = ranges;
  return ranges.length === 1 && first ? send.range(first) : send.parts(ranges);
}

function readAvoid({ query }: Exchange): NodeId | undefined {
  const avoid = query.get('avoid');
  return avoid === null ? undefined : parseNodeId(avoid);
}

/** Answers with the address of a node that has the file, where there is one. Conditions and ranges are for that node to judge. */
async function redirect(
  { files }: Front,
  { response, id }: Exchange,
  named: NamedFile,
  avoid: NodeId | undefined,
): Promise<boolean> {
  const url = await files.locate(named, avoid);
  if (url === undefined) return false;
  response
    .writeHead(307, {
      Location: url,
      'Content-Length': 0,
      'Cache-Control': 'no-store',
      'X-DFS-Id': named.file.id,
      'X-Request-Id': id,
    })
    .end();
  return true;
}

function rangesOf(
  specs: Parameters<typeof resolveRanges>[0],
  sizeBytes: number,
  { response }: Exchange,
): ByteRange[] {
  try {
    return resolveRanges(specs, sizeBytes);
  } catch (error) {
    response.setHeader('Content-Range', `bytes */${sizeBytes}`);
    throw error;
  }
}

/** Sends one file's bytes in the three shapes that HTTP knows. */
class FileSender {
  readonly #front: Front;
  readonly #exchange: Exchange;
  readonly #file: FileRecord;
  readonly #headers: FileHeaders;
  readonly #avoid: NodeId | undefined;

  constructor(
    front: Front,
    exchange: Exchange,
    file: FileRecord,
    headers: FileHeaders,
    avoid: NodeId | undefined,
  ) {
    this.#front = front;
    this.#exchange = exchange;
    this.#file = file;
    this.#headers = headers;
    this.#avoid = avoid;
  }

  async whole(): Promise<void> {
    const opened = await this.#open(undefined);
    this.#begin(200, opened, {
      ...this.#headers.whole,
      'Content-Type': this.#file.contentType,
      'Content-Length': this.#file.sizeBytes,
    });
    await this.#sendLast(opened);
  }

  async range(range: ByteRange): Promise<void> {
    const opened = await this.#open(range);
    this.#begin(206, opened, {
      'Content-Type': this.#file.contentType,
      'Content-Range': contentRangeOf(range, this.#file.sizeBytes),
      'Content-Length': lengthOf(range),
    });
    await this.#sendLast(opened);
  }

  async parts(ranges: readonly ByteRange[]): Promise<void> {
    const { response, isHead } = this.#exchange;
    const frame = framePartsOf(ranges, this.#file);
    let opened = await this.#open(ranges[0]);
    this.#begin(206, opened, {
      'Content-Type': frame.contentType,
      'Content-Length': frame.lengthBytes,
    });
    if (isHead) return this.#sendLast(opened);
    for (const [index, range] of ranges.entries()) {
      if (index > 0) opened = await this.#open(range);
      response.write(frame.heads[index]);
      await this.#sendPart(opened);
    }
    response.end(frame.tail);
  }

  /** Not by `pipeline`: one that does not end the response leaves its listeners on it, for each part anew. */
  async #sendPart(opened: OpenedFile): Promise<void> {
    const { response, signal } = this.#exchange;
    const chunks = opened.content ? [opened.content] : addAbortSignal(signal, opened.bytes);
    for await (const chunk of chunks) {
      if (!response.write(chunk)) await once(response, 'drain', { signal });
    }
  }

  /** For HEAD no more than a byte is fetched: enough to know that there is a copy to be had. */
  async #open(range: ByteRange | undefined): Promise<OpenedFile> {
    const { isHead, signal } = this.#exchange;
    const start = range?.start ?? 0;
    const end = Math.min(start + 1, range?.end ?? this.#file.sizeBytes);
    const wanted = isHead ? { start, end } : range;
    const isWhole = wanted === undefined || lengthOf(wanted) === 0;
    return await this.#front.files.open(this.#file, {
      ...(isWhole ? {} : { range: wanted }),
      ...(this.#avoid === undefined ? {} : { avoid: this.#avoid }),
      signal,
    });
  }

  #begin(status: number, opened: OpenedFile, headers: Readonly<Record<string, unknown>>): void {
    const { response } = this.#exchange;
    this.#exchange.nodeId = opened.nodeId;
    // A reader that takes nothing for so long is cut off by the server's handler of this event.
    response.setTimeout(this.#front.config.downloadIdleMs);
    response.writeHead(status, {
      ...this.#headers.common,
      'X-DFS-Node': opened.nodeId,
      ...(headers as Record<string, string | number>),
    });
  }

  /** When the bytes fail the connection is cut, so that nobody takes what came for the whole. */
  async #sendLast(opened: OpenedFile): Promise<void> {
    const { response, isHead } = this.#exchange;
    if (opened.content) {
      response.end(isHead ? undefined : opened.content);
    } else if (isHead) {
      response.end();
      // The answer is out: whether that byte comes is of no interest any more.
      await finished(opened.bytes.resume()).catch(() => undefined);
    } else {
      await pipeline(opened.bytes, response);
    }
  }
}

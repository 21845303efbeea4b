import { once } from 'node:events';
import { addAbortSignal } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { type ByteRange, contentRangeOf, lengthOf } from '../byte-range.ts';
import { framePartsOf } from './byte-parts.ts';
import type { FileHeaders } from './file-headers.ts';
import type { FileServing, ReadExchange, ServedBytes, ServedFile } from './served-file.ts';

/** Sends one file's bytes in the three shapes that HTTP knows. */
export class FileSender {
  readonly #exchange: ReadExchange;
  readonly #file: ServedFile;
  readonly #headers: FileHeaders;
  readonly #serving: Pick<FileServing, 'open' | 'downloadIdleMs'>;

  constructor(
    exchange: ReadExchange,
    file: ServedFile,
    headers: FileHeaders,
    serving: Pick<FileServing, 'open' | 'downloadIdleMs'>,
  ) {
    this.#exchange = exchange;
    this.#file = file;
    this.#headers = headers;
    this.#serving = serving;
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
  async #sendPart(opened: ServedBytes): Promise<void> {
    const { response, signal } = this.#exchange;
    const chunks = opened.content ? [opened.content] : addAbortSignal(signal, opened.bytes);
    for await (const chunk of chunks) {
      if (!response.write(chunk)) await once(response, 'drain', { signal });
    }
  }

  /** For HEAD no more than a byte is fetched: enough to know that there is a copy to be had. */
  async #open(range: ByteRange | undefined): Promise<ServedBytes> {
    const start = range?.start ?? 0;
    const end = Math.min(start + 1, range?.end ?? this.#file.sizeBytes);
    const wanted = this.#exchange.isHead ? { start, end } : range;
    const isWhole = wanted === undefined || lengthOf(wanted) === 0;
    return await this.#serving.open(isWhole ? undefined : wanted);
  }

  #begin(status: number, opened: ServedBytes, headers: Readonly<Record<string, unknown>>): void {
    const { response } = this.#exchange;
    this.#exchange.nodeId = opened.nodeId;
    // A reader that takes nothing for so long is cut off by the server's handler of this event.
    response.setTimeout(this.#serving.downloadIdleMs);
    response.writeHead(status, {
      ...this.#headers.common,
      'X-DFS-Node': opened.nodeId,
      ...(headers as Record<string, string | number>),
    });
  }

  /** When the bytes fail the connection is cut, so that nobody takes what came for the whole. */
  async #sendLast(opened: ServedBytes): Promise<void> {
    const { response, isHead } = this.#exchange;
    if (opened.content) {
      response.end(isHead ? undefined : opened.content);
    } else if (isHead) {
      response.end();
      // The answer is out: whether that byte comes is of no interest any more.
      await finished(opened.bytes.resume()).catch(() => undefined);
    } else if (opened.sendTo) {
      await opened.sendTo(response);
    } else {
      await pipeline(opened.bytes, response);
    }
  }
}

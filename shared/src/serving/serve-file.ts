import { type ByteRange, parseRangeHeader, type RangeSpec, resolveRanges } from '../byte-range.ts';
import { StoreError } from '../errors.ts';
import { coalesceRanges } from './byte-parts.ts';
import { isRangeWanted, judgeRead } from './conditions.ts';
import { fileHeadersOf } from './file-headers.ts';
import { FileSender } from './file-sender.ts';
import type { FileServing, ReadExchange, ServedFile } from './served-file.ts';

/**
 * Answers a GET or HEAD of a file that the asker may read: conditions, one range or several, and the headers that go with them (RFC 9110). HEAD goes the same
 * way up to the first byte, so that it tells what GET would: also that no copy can be reached. Rejects with `precondition-failed`, `range-not-satisfiable`,
 * `invalid-request` for a condition that is none, and with what `open` rejects with.
 */
export async function serveFile(
  exchange: ReadExchange,
  file: ServedFile,
  serving: FileServing,
): Promise<void> {
  const { headers } = exchange.request;
  const verdict = judgeRead(headers, file);
  if (verdict === 'failed') {
    throw new StoreError('precondition-failed', `${file.path} is not what the condition names.`, {
      hint: 'It was changed: fetch it anew without the condition.',
    });
  }
  const answer = fileHeadersOf(file, { ...serving, requestId: exchange.id });
  if (verdict === 'not-modified') {
    exchange.response.writeHead(304, answer.common).end();
    return;
  }
  const isRange = isRangeWanted(headers['if-range']?.toString(), file, serving.nowMs);
  const specs = isRange ? parseRangeHeader(headers.range) : undefined;
  const send = new FileSender(exchange, file, answer, serving);
  if (!specs) return send.whole();
  const ranges = coalesceRanges(rangesOf(specs, file.sizeBytes, exchange));
  const [first] = ranges;
  return ranges.length === 1 && first ? send.range(first) : send.parts(ranges);
}

function rangesOf(
  specs: readonly RangeSpec[],
  sizeBytes: number,
  { response }: ReadExchange,
): ByteRange[] {
  try {
    return resolveRanges(specs, sizeBytes);
  } catch (error) {
    response.setHeader('Content-Range', `bytes */${sizeBytes}`);
    throw error;
  }
}

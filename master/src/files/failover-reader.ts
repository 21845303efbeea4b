import { type ByteRange, lengthOf, StoreError } from '@dfs/shared';
import type { FileRecord } from '../metadata/metadata-repository.ts';
import type { FileServiceDependencies } from './file-service-dependencies.ts';
import type { OpenedFile, OpenRequest } from './file-types.ts';
import { FileReading } from './long-read.ts';
import { spansOf } from './read-span.ts';
import { readShort } from './short-read.ts';

/**
 * Opens a file, or a range of it, and goes on from another copy at the same byte when one fails. Resolves with the first bytes at hand. Rejects as
 * `FileService.open` does.
 */
export async function openFile(
  dependencies: FileServiceDependencies,
  file: FileRecord,
  request: OpenRequest,
): Promise<OpenedFile> {
  const range = request.range ?? { start: 0, end: file.sizeBytes };
  mustBeInside(range, file, request.range !== undefined);
  const spans = spansOf(file, range);
  dependencies.caching?.wasRead(file.id);
  const release = dependencies.inUse.reading(spans.map(({ blob }) => blob.blobId));
  const [only] = spans;
  try {
    if (spans.length === 1 && only && lengthOf(only) <= dependencies.config.shortReadBytes) {
      const opened = await readShort(dependencies, { ...request, file, span: only });
      release();
      return opened;
    }
    const reading = new FileReading(dependencies, { ...request, file, spans, release });
    const nodeId = await reading.opened;
    return { nodeId, bytes: reading };
  } catch (error) {
    release();
    throw error;
  }
}

function mustBeInside(range: ByteRange, file: FileRecord, isAsked: boolean): void {
  const { start, end } = range;
  const isEmpty = isAsked && end <= start;
  if (start >= 0 && end <= file.sizeBytes && !isEmpty) return;
  throw new StoreError(
    'range-not-satisfiable',
    `Bytes ${start} to ${end} lie outside the content of ${file.sizeBytes} bytes.`,
    { hint: `Ask for bytes 0 to ${Math.max(0, file.sizeBytes - 1)}.` },
  );
}

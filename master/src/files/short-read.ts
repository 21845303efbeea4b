import { Readable } from 'node:stream';
import { lengthOf, type NodeId } from '@dfs/shared';
import type { FileRecord } from '../metadata/metadata-repository.ts';
import { BlobCopies } from './blob-copies.ts';
import type { FileServiceDependencies } from './file-service-dependencies.ts';
import type { OpenedFile, OpenRequest } from './file-types.ts';
import { openCopy, readCancelled, type Span, wrongLength } from './read-span.ts';

export interface ShortRead extends OpenRequest {
  readonly file: FileRecord;
  readonly span: Span;
}

/** Reads a short span whole, from the first copy that gives all of it. */
export async function readShort(
  dependencies: FileServiceDependencies,
  read: ShortRead,
): Promise<OpenedFile> {
  const { file, span, signal, avoid } = read;
  const copies = new BlobCopies(dependencies, { blob: span.blob, fileId: file.id, avoid });
  for (;;) {
    if (signal.aborted) throw readCancelled(signal);
    const copy = await copies.next(signal);
    try {
      const bytes = await openCopy(copy, span, signal);
      return new ShortContent(copy.nodeId, await gather(bytes, lengthOf(span)));
    } catch (error) {
      if (signal.aborted) throw readCancelled(signal);
      copies.failed(copy.nodeId, error);
    }
  }
}

/** Exactly `sizeBytes`; rejects when the stream fails or ends otherwise. */
function gather(stream: Readable, sizeBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let gathered = 0;
    stream.on('data', (chunk: Buffer) => {
      gathered += chunk.byteLength;
      chunks.push(chunk);
      if (gathered > sizeBytes) stream.destroy(wrongLength(gathered, sizeBytes));
    });
    stream.on('error', reject);
    stream.on('end', () => {
      const [first] = chunks;
      const bytes = chunks.length === 1 && first ? first : Buffer.concat(chunks);
      if (gathered === sizeBytes) resolve(bytes);
      else reject(wrongLength(gathered, sizeBytes));
    });
    stream.on('close', () => {
      // An error is costly to make, and after an end nobody hears of it.
      if (!stream.readableEnded) reject(wrongLength(gathered, sizeBytes));
    });
  });
}

/** A content in memory; its stream is made only when somebody wants one. */
class ShortContent implements OpenedFile {
  readonly nodeId: NodeId;
  readonly content: Buffer;

  constructor(nodeId: NodeId, content: Buffer) {
    this.nodeId = nodeId;
    this.content = content;
  }

  get bytes(): Readable {
    const { content } = this;
    return new Readable({
      read() {
        this.push(content.byteLength === 0 ? null : content);
        this.push(null);
      },
    });
  }
}

import { type BlobBody, StoreError } from '@dfs/shared';

/**
 * Gives all bytes of a body to `take`, one after the other. Rejects with `incomplete-body` when
 * they are more or fewer than announced, or break off.
 */
export async function eachChunk(
  body: BlobBody,
  sizeBytes: number | undefined,
  take: (bytes: Uint8Array) => void | Promise<void>,
): Promise<void> {
  let receivedBytes = 0;
  const count = (bytes: Uint8Array) => {
    receivedBytes += bytes.byteLength;
    if (sizeBytes !== undefined && receivedBytes > sizeBytes) throw wrongLength(sizeBytes, 'more');
  };
  if (body instanceof Uint8Array) {
    count(body);
    await take(body);
  } else {
    const chunks: AsyncIterator<Chunk> = body[Symbol.asyncIterator]();
    for (let next = await nextOf(chunks); !next.done; next = await nextOf(chunks)) {
      const { value } = next;
      const bytes: Uint8Array = typeof value === 'string' ? Buffer.from(value) : value;
      count(bytes);
      await take(bytes);
    }
  }
  if (sizeBytes !== undefined && receivedBytes < sizeBytes) throw wrongLength(sizeBytes, 'fewer');
}

type Chunk = string | Uint8Array;

/** The next chunk of a body, whose failure is told from that of whoever takes it. */
async function nextOf(chunks: AsyncIterator<Chunk>): Promise<IteratorResult<Chunk>> {
  try {
    return await chunks.next();
  } catch (cause) {
    if (cause instanceof StoreError) throw cause;
    throw new StoreError('incomplete-body', 'The body broke off before its end.', { cause });
  }
}

const wrongLength = (sizeBytes: number, than: 'more' | 'fewer') =>
  new StoreError('incomplete-body', `The body has ${than} than the ${sizeBytes} bytes announced.`, {
    hint: 'Send it again with its true length.',
  });

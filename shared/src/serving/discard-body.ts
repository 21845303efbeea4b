import type { IncomingMessage } from 'node:http';

/** How much of a body nobody wants is read, so that a client which is still sending gets to see the answer. */
export interface DiscardLimits {
  readonly bytesMax: number;
  readonly waitMs: number;
}

/**
 * Reads and forgets the rest of a body. Resolves when it ended, the connection is gone, or a limit is reached. Never rejects.
 * The caller closes the connection unless the body was complete.
 */
export async function discardBody(request: IncomingMessage, limits: DiscardLimits): Promise<void> {
  if (request.complete || request.destroyed) return;
  await new Promise<void>((resolve) => {
    let restBytes = limits.bytesMax;
    const finish = () => {
      clearTimeout(timer);
      request.off('data', count).off('end', finish).off('close', finish);
      resolve();
    };
    const count = (chunk: Buffer) => {
      restBytes -= chunk.byteLength;
      if (restBytes < 0) finish();
    };
    const timer = setTimeout(finish, limits.waitMs);
    // What was to read it may be gone by now without having let go of it.
    request.unpipe();
    request.on('data', count).once('end', finish).once('close', finish);
    request.resume();
  });
}

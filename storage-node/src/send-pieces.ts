import type { ServerResponse } from 'node:http';
import type { Piece, VerifiedReader } from './verified-reader.ts';

export interface SendOptions {
  /** A peer that takes nothing for so long is cut off, ms. */
  readonly stallMs: number;
  /** So many bytes are handed over. */
  readonly onSent: (bytes: number) => void;
}

/**
 * Sends pieces as the peer takes them, and ends the response. Stops when the peer is gone. Rejects
 * with what the reader rejects with: then the response has not ended.
 */
export async function sendPieces(
  reader: Pick<VerifiedReader, 'next' | 'isAtEnd'>,
  response: ServerResponse,
  { stallMs, onSent }: SendOptions,
): Promise<void> {
  let isFirst = true;
  for (let piece = await reader.next(); piece; piece = await reader.next()) {
    if (response.destroyed) {
      piece.release();
      return;
    }
    onSent(piece.bytes.byteLength);
    if (isFirst && reader.isAtEnd) {
      // The only piece: headers and bytes leave in one write, and nobody waits for it.
      response.once('close', piece.release);
      response.end(piece.bytes);
      return;
    }
    isFirst = false;
    await sendPiece(piece, response, stallMs);
  }
  response.end();
}

/** Resolves when the operating system has the bytes, or the peer is gone. */
function sendPiece(piece: Piece, response: ServerResponse, stallMs: number): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(stalled);
      response.off('close', done);
      piece.release();
      resolve();
    };
    const stalled = setTimeout(() => response.destroy(), stallMs);
    response.once('close', done);
    response.write(piece.bytes, done);
  });
}

import type { Readable } from 'node:stream';

/**
 * The lines of UTF-8 text, split at line feeds alone: node:readline splits at U+2028 too, which JSON may hold, and does not tell that its
 * input broke. Rejects with the stream's own error; the stream is destroyed when the reader leaves.
 */
export async function* linesOf(stream: Readable): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  rest += decoder.decode();
  if (rest !== '') yield rest;
}

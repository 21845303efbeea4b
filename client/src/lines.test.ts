import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { linesOf } from './lines.ts';

async function linesFrom(...chunks: (string | Uint8Array)[]): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of linesOf(Readable.from(chunks.map((chunk) => Buffer.from(chunk))))) {
    lines.push(line);
  }
  return lines;
}

describe('lines of a stream', () => {
  it('end at line feeds alone', async () => {
    expect(await linesFrom('a\u2028b\r\n\nc\u0085\n')).toEqual(['a\u2028b\r', '', 'c\u0085']);
  });

  it('are the same however the bytes come', async () => {
    const bytes = Buffer.from('Füße\n😀\nlast');
    expect(await linesFrom(...[...bytes].map((byte) => Buffer.of(byte)))).toEqual([
      'Füße',
      '😀',
      'last',
    ]);
  });

  it('reject when the stream breaks, rather than end', async () => {
    const stream = new Readable({ read: () => {} });
    stream.push('one\ntwo');
    const lines = linesOf(stream);
    expect(await lines.next()).toEqual({ done: false, value: 'one' });
    stream.destroy(new Error('gone'));
    await expect(lines.next()).rejects.toThrow('gone');
  });

  it('let go of the stream when the reader leaves', async () => {
    const stream = Readable.from([Buffer.from('a\nb\n')]);
    for await (const _ of linesOf(stream)) break;
    expect(stream.destroyed).toBe(true);
  });
});

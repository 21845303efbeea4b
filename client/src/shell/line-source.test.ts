import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { PipedLines, TerminalLines } from './line-source.ts';

function terminal(history: string[] = []) {
  const input = new PassThrough();
  const output = new PassThrough();
  let shown = '';
  output.on('data', (chunk: Buffer) => {
    shown += chunk.toString();
  });
  let interrupts = 0;
  const lines = new TerminalLines({
    input,
    output,
    history,
    historyMax: 10,
    complete: async (line) => [[`${line}pleted`], line],
    onInterrupt: () => {
      interrupts += 1;
    },
  });
  return { input, lines, shown: () => shown, interrupts: () => interrupts };
}

describe('lines of a terminal', () => {
  it('come one by one, those that were pasted too', async () => {
    const { input, lines } = terminal();
    const first = lines.next('> ');
    input.write('one\ntwo\nthree\n');
    expect(await first).toEqual({ line: 'one' });
    expect(await lines.next('> ')).toEqual({ line: 'two' });
    expect(await lines.ask('Sure? ')).toBe('three');
    await lines.close();
  });

  it('show the question, also when its answer was typed ahead', async () => {
    const { input, lines, shown } = terminal();
    const first = lines.next('> ');
    input.write('rm -i x\ny\n');
    await first;
    expect(await lines.ask('Remove? ')).toBe('y');
    expect(shown()).toContain('Remove? ');
    await lines.close();
  });

  it('are given up with Ctrl-C, what was typed ahead too', async () => {
    const { input, lines, interrupts } = terminal();
    const line = lines.next('> ');
    input.write('half a li\u0003');
    expect(await line).toBe('cancelled');
    expect(interrupts()).toBe(0);
    const next = lines.next('> ');
    input.write('ls\n');
    expect(await next).toEqual({ line: 'ls' });
    await lines.close();
  });

  it('tell of Ctrl-C while a command runs or asks', async () => {
    const { input, lines, interrupts } = terminal();
    const answer = lines.ask('Remove? ');
    input.write('\u0003');
    expect(await answer).toBeUndefined();
    expect(interrupts()).toBe(1);
    await lines.close();
  });

  it('end with Ctrl-D, and stay ended', async () => {
    const { input, lines } = terminal();
    const line = lines.next('> ');
    input.write('\u0004');
    expect(await line).toBe('end');
    expect(await lines.next('> ')).toBe('end');
    expect(await lines.ask('Sure? ')).toBeUndefined();
  });

  it('come from the history, the newest first, and are completed', async () => {
    const { input, lines, shown } = terminal(['older', 'newer']);
    const line = lines.next('> ');
    input.write('\u001b[A\u001b[A\n');
    expect(await line).toEqual({ line: 'older' });
    const completed = lines.next('> ');
    input.write('com\t');
    await expect.poll(shown).toContain('completed');
    input.write('\n');
    expect(await completed).toEqual({ line: 'completed' });
    await lines.close();
  });
});

describe('lines of a pipe', () => {
  it('answer questions as well', async () => {
    const input = new PassThrough();
    const asked = new PassThrough();
    const lines = new PipedLines(input, asked);
    input.end('rm -i x\ny');
    expect(await lines.next()).toEqual({ line: 'rm -i x' });
    expect(await lines.ask('Remove? ')).toBe('y');
    expect((asked.read() as Buffer).toString()).toBe('Remove? ');
    expect(await lines.ask('And? ')).toBeUndefined();
    expect(await lines.next()).toBe('end');
  });
});

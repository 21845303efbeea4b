import { PassThrough } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Progress, showProgress } from './progress.ts';

const mebibyte = 2 ** 20;

describe('the progress bar', () => {
  const shown: Progress[] = [];
  afterEach(() => {
    for (const progress of shown.splice(0)) progress.stop();
  });

  function start(totalBytes: number | undefined, { isTTY = true } = {}) {
    const stream = Object.assign(new PassThrough(), isTTY ? { isTTY, columns: 200 } : {});
    const progress = showProgress('film.mkv', totalBytes, stream);
    shown.push(progress);
    let text = '';
    const drawn = () => {
      text += (stream.read() as Buffer | null)?.toString() ?? '';
      return text;
    };
    return { progress, drawn };
  }

  it.each([undefined, mebibyte, 100 * mebibyte])(
    'is not drawn where there is no terminal: %s bytes',
    (totalBytes) => {
      const { progress, drawn } = start(totalBytes, { isTTY: false });
      progress.at(50 * mebibyte);
      progress.stop();
      expect(drawn()).toBe('');
    },
  );

  it('is not drawn for 4 MiB or less', () => {
    const known = start(4 * mebibyte);
    known.progress.at(4 * mebibyte);
    known.progress.stop();
    const unknown = start(undefined);
    unknown.progress.at(4 * mebibyte);
    unknown.progress.stop();
    expect([known.drawn(), unknown.drawn()]).toEqual(['', '']);
  });

  it('shows how far it is, the rate and the time left above that', () => {
    const { progress, drawn } = start(4 * mebibyte + 4);
    progress.at(2 * mebibyte + 2);
    progress.stop();
    expect(drawn()).toMatch(/film\.mkv .* 50% {2}2\.0 MiB of 4\.0 MiB {2}\S+ \w+\/s {2}\d+ s left/);
  });

  it('reckons the time left by the rate that it shows, however unsteady the bytes come', () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      const { progress, drawn } = start(100 * mebibyte);
      vi.advanceTimersByTime(9_900);
      progress.at(9 * mebibyte);
      vi.advanceTimersByTime(100);
      progress.at(10 * mebibyte);
      progress.stop();
      expect(drawn()).toMatch(/10\.0 MiB of 100 MiB {2}1\.0 MiB\/s {2}1 min 30 s left/);
      expect(drawn()).toContain('? left');
    } finally {
      vi.useRealTimers();
    }
  });

  it('shows amount and rate where the size is unknown, once it is much', () => {
    const { progress, drawn } = start(undefined);
    progress.at(5 * mebibyte);
    progress.stop();
    expect(drawn()).toMatch(/film\.mkv {2}5\.0 MiB {2}\S+ \w+\/s/);
    expect(drawn()).not.toContain('left');
  });

  it('ends with its line and a terminal as it was, and draws nothing more when the work fails', () => {
    const { progress, drawn } = start(100 * mebibyte);
    progress.at(10 * mebibyte);
    progress.stop();
    const atEnd = drawn();
    expect(atEnd.endsWith('\n')).toBe(true);
    // A hidden cursor, lines that do not wrap: all of it would stay.
    expect(atEnd).not.toMatch(/\[\?\d+[hl]/);
    progress.at(20 * mebibyte);
    progress.stop();
    expect(drawn()).toBe(atEnd);
  });

  it('makes way for a line that is said', () => {
    const { progress, drawn } = start(100 * mebibyte);
    progress.say('dfs: trying again');
    progress.stop();
    expect(drawn()).toContain('\r\u001b[Kdfs: trying again\n');
    // And comes back below it.
    expect(drawn().split('dfs: trying again\n')[1]).toContain('film.mkv');
  });
});

import { PassThrough } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { showTransfers, type TransferProgress } from './transfer-progress.ts';

const mebibyte = 2 ** 20;

describe('the display of many transfers', () => {
  const shown: TransferProgress[] = [];
  afterEach(() => {
    for (const progress of shown.splice(0)) progress.stop();
  });

  function start({ isTTY = true, tellsRetries = true } = {}) {
    const stream = Object.assign(new PassThrough(), isTTY ? { isTTY, columns: 200 } : {});
    const progress = showTransfers({ label: '/photos', stream, tellsRetries });
    shown.push(progress);
    let text = '';
    const drawn = () => {
      text += (stream.read() as Buffer | null)?.toString() ?? '';
      return text;
    };
    return { progress, drawn };
  }

  it('is not drawn where there is no terminal', () => {
    const { progress, drawn } = start({ isTTY: false });
    progress.expect(2, mebibyte);
    progress.bytes(mebibyte);
    progress.file(0);
    progress.stop();
    expect(drawn()).toBe('');
  });

  it('shows files, bytes, rate and time left in all', () => {
    const { progress, drawn } = start();
    progress.expect(4, 8 * mebibyte);
    progress.bytes(2 * mebibyte);
    progress.file(0);
    progress.file(2 * mebibyte);
    progress.stop();
    expect(drawn()).toMatch(
      /\/photos .* 50% {2}2 of 4 files {2}4\.0 MiB of 8\.0 MiB {2}\S+ \w+\/s {2}\S+ left/,
    );
  });

  it('takes back the bytes that are to be sent again', () => {
    const { progress, drawn } = start();
    progress.expect(1, 8 * mebibyte);
    progress.bytes(6 * mebibyte);
    progress.bytes(-6 * mebibyte);
    progress.bytes(2 * mebibyte);
    progress.stop();
    expect(drawn()).toMatch(/25% {2}0 of 1 files {2}2\.0 MiB of 8\.0 MiB[^\n]*\n?$/);
  });

  it('says once why several transfers wait, and nothing where nobody wants to know', () => {
    const { progress, drawn } = start({ isTTY: false });
    for (const seconds of [60, 59, 58])
      progress.sayRetry?.(`dfs: no store; trying again for up to ${seconds} s`);
    progress.sayRetry?.('dfs: another reason');
    expect(drawn()).toBe('dfs: no store; trying again for up to 60 s\ndfs: another reason\n');
    expect(start({ tellsRetries: false }).progress.sayRetry).toBeUndefined();
  });
});

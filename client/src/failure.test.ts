import { StoreError } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import { asksForJson, failureJson, failureText, outputFailure } from './failure.ts';

describe('a failure that is told', () => {
  const full = new StoreError('no-room', 'No node has room.', { hint: 'Add one.' });

  it('is one JSON line in the shape of the store, for programs', () => {
    expect(failureJson(full)).toBe(
      '{"error":{"code":"no-room","message":"No node has room.","hint":"Add one."}}',
    );
    expect(failureJson(new StoreError('conflict', 'Two\nlines'))).toBe(
      '{"error":{"code":"conflict","message":"Two\\nlines"}}',
    );
    expect(failureJson(new Error('odd'))).toBe('{"error":{"code":"internal","message":"odd"}}');
  });

  it('is a line and a hint for people', () => {
    expect(failureText(full)).toBe('dfs: No node has room.\n     Add one.');
    expect(failureText(new Error('odd'))).toBe('dfs: odd');
  });

  it('names standard output when that takes no more', () => {
    const text = failureText(outputFailure(new Error('ENOSPC: no space left on device, write')));
    expect(text).toMatch(/^dfs: cannot write to standard output: ENOSPC/);
  });

  it.each([
    [['ls', '--json'], true],
    [['ls', '--', '--json'], false],
    [['ls'], false],
  ])('%j: asks for JSON: %s', (args, expected) => {
    expect(asksForJson(args)).toBe(expected);
  });
});

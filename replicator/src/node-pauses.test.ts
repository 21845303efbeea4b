import { newNodeId } from '@dfs/shared';
import { FakeClock } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { NodePauses } from './node-pauses.ts';

describe('NodePauses', () => {
  const id = newNodeId();

  it('forgives one broken connection', () => {
    const pauses = new NodePauses(new FakeClock());
    pauses.silent(id);
    expect(pauses.isPaused(id)).toBe(false);
  });

  it('pauses a node that was silent twice, longer each time, at most half a minute', () => {
    const clock = new FakeClock();
    const pauses = new NodePauses(clock);
    pauses.silent(id);
    const pausesMs: number[] = [];
    for (let round = 0; round < 7; round += 1) {
      pauses.silent(id);
      const startedAtMs = clock.monotonic();
      while (pauses.isPaused(id)) clock.advance(100);
      pausesMs.push(clock.monotonic() - startedAtMs);
    }
    expect(pausesMs).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  });

  it('takes many failures of one moment for one silence', () => {
    const clock = new FakeClock();
    const pauses = new NodePauses(clock);
    for (let i = 0; i < 50; i += 1) pauses.silent(id);
    clock.advance(1_000);
    expect(pauses.isPaused(id)).toBe(false);
  });

  it('forgets everything when the node answers', () => {
    const pauses = new NodePauses(new FakeClock());
    pauses.silent(id);
    pauses.silent(id);
    pauses.answered(id);
    expect(pauses.isPaused(id)).toBe(false);
    pauses.silent(id);
    expect(pauses.isPaused(id)).toBe(false);
  });

  it('keeps nodes apart', () => {
    const pauses = new NodePauses(new FakeClock());
    pauses.silent(id);
    pauses.silent(id);
    expect(pauses.isPaused(newNodeId())).toBe(false);
  });
});

import { setMaxListeners } from 'node:events';
import { type NodeId, newNodeId } from '@dfs/shared';
import { FakeClock } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { type CopySlot, CopySlots } from './copy-slots.ts';

const [a, b, c, d] = [newNodeId(), newNodeId(), newNodeId(), newNodeId()] as [
  NodeId,
  NodeId,
  NodeId,
  NodeId,
];
const never = new AbortController().signal;
setMaxListeners(0, never);

function makeSlots(overrides: Partial<ConstructorParameters<typeof CopySlots>[0]> = {}) {
  const clock = new FakeClock();
  const slots = new CopySlots({
    copiesMax: 100,
    perNodeMax: 2,
    waitingMax: 1_000,
    clock,
    ...overrides,
  });
  /** Asks and notes what came of it; undefined while it waits. */
  const ask = (target: NodeId, sources: NodeId[], signal = never) => {
    const asked: { slot?: CopySlot | undefined; isSettled: boolean } = { isSettled: false };
    void slots.acquire(target, sources, signal).then((slot) => {
      asked.slot = slot;
      asked.isSettled = true;
    });
    return asked;
  };
  return { slots, clock, ask };
}

/** Lets what is due in this turn happen. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('CopySlots', () => {
  it('bounds copies per target, and goes on when one ends', async () => {
    const { ask } = makeSlots();
    const asked = [ask(a, [b]), ask(a, [c]), ask(a, [d])];
    await turn();
    expect(asked.map((each) => each.isSettled)).toEqual([true, true, false]);
    asked[0]?.slot?.release();
    await turn();
    expect(asked[2]?.slot?.source).toBe(d);
  });

  it('bounds copies per source, and takes another source that has capacity', async () => {
    const { ask } = makeSlots();
    const asked = [ask(a, [d]), ask(b, [d]), ask(c, [d]), ask(c, [d, a])];
    await turn();
    expect(asked.map((each) => each.slot?.source)).toEqual([d, d, undefined, a]);
  });

  it('counts a node as source and as target together', async () => {
    const { ask } = makeSlots();
    const asked = [ask(a, [b]), ask(b, [a]), ask(c, [a]), ask(d, [b])];
    await turn();
    expect(asked.map((each) => each.isSettled)).toEqual([true, true, false, false]);
  });

  it('bounds copies in all', async () => {
    const { ask } = makeSlots({ copiesMax: 2, perNodeMax: 10 });
    const asked = [ask(a, [b]), ask(c, [d]), ask(b, [a])];
    await turn();
    expect(asked.map((each) => each.isSettled)).toEqual([true, true, false]);
  });

  it('lets targets take turns', async () => {
    const { ask } = makeSlots({ copiesMax: 1 });
    const first = ask(a, [d]);
    const second = ask(a, [d]);
    const other = ask(b, [d]);
    await turn();
    first.slot?.release();
    second.slot?.release();
    await turn();
    const third = [second, other].find((each) => each.slot !== undefined);
    third?.slot?.release();
    await turn();
    expect([second.slot, other.slot].every((slot) => slot !== undefined)).toBe(true);
  });

  it('does not let a target that is busy hold up others', async () => {
    const { ask } = makeSlots();
    const slow = Array.from({ length: 20 }, () => ask(a, [b, c, d]));
    const other = ask(d, [c]);
    await turn();
    expect(slow.filter((each) => each.isSettled)).toHaveLength(2);
    expect(other.slot).toBeDefined();
  });

  it('gives back a slot once, however often it is released', async () => {
    const { ask } = makeSlots({ perNodeMax: 1 });
    const first = ask(a, [b]);
    const waiting = [ask(a, [c]), ask(a, [d])];
    await turn();
    first.slot?.release();
    first.slot?.release();
    await turn();
    expect(waiting.filter((each) => each.isSettled)).toHaveLength(1);
  });

  it('forgets a copy whose signal aborts while it waits', async () => {
    const { ask } = makeSlots({ perNodeMax: 1 });
    const first = ask(a, [b]);
    const abort = new AbortController();
    const leaving = ask(a, [c], abort.signal);
    const last = ask(a, [c]);
    abort.abort();
    await turn();
    expect(leaving).toEqual({ slot: undefined, isSettled: true });
    first.slot?.release();
    await turn();
    expect(last.slot?.source).toBe(c);
  });

  it('gives nothing to a signal that is aborted already', async () => {
    const { slots } = makeSlots();
    expect(await slots.acquire(a, [b], AbortSignal.abort())).toBeUndefined();
  });

  it('gives up the younger half for a target that makes no progress, once too many wait', async () => {
    const { ask, clock } = makeSlots({ perNodeMax: 1, waitingMax: 10 });
    ask(a, [b]);
    const stuck = Array.from({ length: 10 }, () => ask(a, [b]));
    clock.advance(5_001);
    await turn();
    expect(stuck.some((each) => each.isSettled)).toBe(false);
    const other = ask(c, [d]);
    ask(c, [d]);
    await turn();
    expect(stuck.map((each) => each.isSettled)).toEqual([
      ...Array(5).fill(false),
      ...Array(5).fill(true),
    ]);
    expect(other.slot).toBeDefined();
  });

  it('gives up nothing while the target moves, however many wait', async () => {
    const { ask, clock } = makeSlots({ perNodeMax: 1, waitingMax: 10 });
    ask(a, [b]);
    const waiting = Array.from({ length: 50 }, () => ask(a, [b]));
    clock.advance(4_999);
    ask(a, [b]);
    await turn();
    expect(waiting.some((each) => each.isSettled)).toBe(false);
  });

  it('gives up nothing of a target that is slow, but begins a copy now and then', async () => {
    const { ask, clock } = makeSlots({ perNodeMax: 1, waitingMax: 10 });
    const running = [ask(a, [b])];
    const waiting = Array.from({ length: 50 }, () => ask(a, [b]));
    for (let copy = 0; copy < 5; copy += 1) {
      clock.advance(4_000);
      await turn();
      running.pop()?.slot?.release();
      await turn();
      running.push(waiting[copy] as (typeof waiting)[number]);
      ask(a, [b]);
    }
    await turn();
    expect(waiting.filter((each) => each.isSettled)).toHaveLength(5);
    expect(waiting.slice(5).some((each) => each.isSettled)).toBe(false);
  });

  it('never exceeds its bounds in a long random run, and ends with everything free', async () => {
    const { slots } = makeSlots({ copiesMax: 5, perNodeMax: 3 });
    const nodes = [a, b, c, d];
    const busy = new Map(nodes.map((id) => [id, 0]));
    let copies = 0;
    const copy = async (index: number) => {
      const target = nodes[index % 4] as NodeId;
      const sources = nodes.filter((id) => id !== target);
      const slot = await slots.acquire(target, sources.slice(index % 3), never);
      if (!slot) throw new Error('given up');
      copies += 1;
      for (const id of [target, slot.source]) busy.set(id, (busy.get(id) ?? 0) + 1);
      expect(copies).toBeLessThanOrEqual(5);
      expect(Math.max(...busy.values())).toBeLessThanOrEqual(3);
      for (let i = 0; i < (index * 7) % 5; i += 1) await turn();
      copies -= 1;
      for (const id of [target, slot.source]) busy.set(id, (busy.get(id) ?? 0) - 1);
      slot.release();
    };
    await Promise.all(Array.from({ length: 500 }, (_, index) => copy(index)));
    expect(copies).toBe(0);
  });
});

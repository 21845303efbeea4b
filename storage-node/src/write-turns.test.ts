import { type BlobReceipt, newBlobId, newNodeId, StoreError } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import { JoinedPulls } from './joined-pulls.ts';
import { WriteTurns } from './write-turns.ts';

/** A promise that is settled from outside. */
function deferred<Value>() {
  let resolve: (value: Value) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<Value>((...settle) => {
    [resolve, reject] = settle;
  });
  return { promise, resolve, reject };
}

describe('writers of one blob', () => {
  it('take turns in the order in which they came, whatever becomes of the others', async () => {
    const turns = new WriteTurns();
    const id = newBlobId();
    const order: string[] = [];
    const gate = deferred<void>();
    const first = turns.take(id, {}, async () => {
      order.push('first begins');
      await gate.promise;
      order.push('first ends');
      throw new Error('first fails');
    });
    const second = turns.take(id, {}, async () => order.push('second'));
    const third = turns.take(id, {}, async () => order.push('third'));
    await turns.take(newBlobId(), {}, async () => order.push('another blob'));
    gate.resolve();
    await expect(first).rejects.toThrow('first fails');
    await Promise.all([second, third]);
    expect(order).toEqual(['first begins', 'another blob', 'first ends', 'second', 'third']);
  });

  it('are cancelled together, those that wait do not begin', async () => {
    const turns = new WriteTurns();
    const id = newBlobId();
    const stopped = deferred<never>();
    let began = 0;
    const running = turns.take(id, {}, async (turn) => {
      began += 1;
      turn.whenCancelled(stopped.reject);
      return stopped.promise;
    });
    const waiting = turns.take(id, {}, async () => {
      began += 1;
    });
    turns.cancel(id, new StoreError('cancelled', 'Dropped.'));
    await expect(running).rejects.toThrow('Dropped.');
    await expect(waiting).rejects.toThrow('Dropped.');
    expect(began).toBe(1);
    expect(await turns.take(id, {}, async () => 'next')).toBe('next');
  });

  it('give way to drops, which do not cancel each other', async () => {
    const turns = new WriteTurns();
    const id = newBlobId();
    const gate = deferred<void>();
    const first = turns.take(id, { isCancellable: false }, () => gate.promise);
    const second = turns.take(id, { isCancellable: false }, async () => 'dropped again');
    turns.cancel(id, new StoreError('cancelled', 'Dropped.'));
    gate.resolve();
    await first;
    expect(await second).toBe('dropped again');
  });

  it('do not begin for a caller that left while it waited', async () => {
    const turns = new WriteTurns();
    const id = newBlobId();
    const gate = deferred<void>();
    const leaving = new AbortController();
    const first = turns.take(id, {}, () => gate.promise);
    const second = turns.take(id, { signal: leaving.signal }, async () => 'ran');
    leaving.abort();
    gate.resolve();
    await first;
    await expect(second).rejects.toMatchObject({ kind: 'cancelled' });
  });
});

describe('pulls of one blob', () => {
  const request = {
    blobId: newBlobId(),
    source: { nodeId: newNodeId(), url: 'http://127.0.0.1:1' },
    sizeBytes: 1,
    md5: '0'.repeat(32),
  };
  const receipt: BlobReceipt = { sizeBytes: 1, md5: request.md5 };

  it('run once and tell all who asked', async () => {
    const pulls = new JoinedPulls();
    const gate = deferred<BlobReceipt>();
    let runs = 0;
    const run = () => {
      runs += 1;
      return gate.promise;
    };
    const all = [1, 2, 3].map(() => pulls.join(request, new AbortController().signal, run));
    gate.resolve(receipt);
    expect(await Promise.all(all)).toEqual([receipt, receipt, receipt]);
    expect(runs).toBe(1);
    await pulls.join(request, undefined, run);
    expect(runs).toBe(2);
  });

  it('run apart when they ask for other bytes', async () => {
    const pulls = new JoinedPulls();
    const gate = deferred<BlobReceipt>();
    let runs = 0;
    const run = () => {
      runs += 1;
      return gate.promise;
    };
    const both = [
      pulls.join(request, undefined, run),
      pulls.join({ ...request, md5: 'f'.repeat(32) }, undefined, run),
    ];
    gate.resolve(receipt);
    await Promise.all(both);
    expect(runs).toBe(2);
  });

  it('go on while one still waits, and end with the last', async () => {
    const pulls = new JoinedPulls();
    const [first, second] = [new AbortController(), new AbortController()];
    let pullSignal: AbortSignal | undefined;
    const stopped = deferred<BlobReceipt>();
    const run = (signal: AbortSignal) => {
      pullSignal = signal;
      signal.addEventListener('abort', () =>
        stopped.reject(new StoreError('cancelled', 'Stopped.')),
      );
      return stopped.promise;
    };
    const waits = [pulls.join(request, first.signal, run), pulls.join(request, second.signal, run)];
    first.abort();
    await expect(waits[0]).rejects.toMatchObject({ kind: 'cancelled' });
    expect(pullSignal?.aborted).toBe(false);
    second.abort();
    await expect(waits[1]).rejects.toMatchObject({ kind: 'cancelled' });
    expect(pullSignal?.aborted).toBe(true);
  });

  it('begin anew for one who comes after the last has left', async () => {
    const pulls = new JoinedPulls();
    const leaving = new AbortController();
    const left = pulls.join(request, leaving.signal, () => new Promise(() => undefined));
    leaving.abort();
    await expect(left).rejects.toMatchObject({ kind: 'cancelled' });
    expect(await pulls.join(request, undefined, async () => receipt)).toEqual(receipt);
  });
});

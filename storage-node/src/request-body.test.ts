import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { bytesOf } from '@dfs/shared/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RequestBody, smallBodyOf } from './request-body.ts';

const idleMs = 10_000;
const piece = Buffer.alloc(64 * 1024, 1);

let sender: PassThrough;
let asked: number;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  sender = new PassThrough();
  asked = 0;
});
afterEach(() => {
  vi.useRealTimers();
});

/** A request is a stream with headers, and the headers do not matter here. */
const request = () => sender as unknown as IncomingMessage;
function open(): RequestBody {
  const onFirstRead = () => {
    asked += 1;
  };
  return new RequestBody({ request: request(), idleMs, onFirstRead });
}

describe('the body of an upload', () => {
  it('is asked for once, and only when it is read', async () => {
    const body = open();
    sender.end(piece);
    await nextTurn();
    expect(asked).toBe(0);
    expect(await bytesOf(body)).toEqual(piece);
    expect(asked).toBe(1);
  });

  it('may come as slowly as it likes, if only something comes', async () => {
    const received = bytesOf(open());
    for (let minute = 0; minute < 60; minute += 1) {
      sender.write('x');
      await nextTurn();
      vi.advanceTimersByTime(idleMs - 1);
    }
    sender.end();
    expect((await received).toString()).toBe('x'.repeat(60));
  });

  it('is incomplete when nothing comes for too long', async () => {
    const received = bytesOf(open());
    sender.write('x');
    await nextTurn();
    vi.advanceTimersByTime(idleMs + 1);
    await expect(received).rejects.toMatchObject({
      kind: 'incomplete-body',
      message: 'The sender was silent for 10000 ms after 1 bytes.',
    });
  });

  it('does not blame the sender for time in which nobody reads', async () => {
    const body = open();
    body.read(0);
    for (let i = 0; i < 8; i += 1) sender.write(piece);
    await nextTurn();
    expect(sender.isPaused()).toBe(true);
    vi.advanceTimersByTime(100 * idleMs);
    expect(body.destroyed).toBe(false);
    sender.end();
    expect((await bytesOf(body)).byteLength).toBe(8 * piece.byteLength);
  });

  it('is incomplete when the sender goes away, before it is read too', async () => {
    const received = bytesOf(open());
    sender.write('x');
    await nextTurn();
    sender.destroy();
    await expect(received).rejects.toMatchObject({ kind: 'incomplete-body' });
    await expect(bytesOf(open())).rejects.toMatchObject({ kind: 'incomplete-body' });
  });

  it('can be given up without closing the connection', async () => {
    const body = open();
    const received = bytesOf(body);
    sender.write('x');
    await nextTurn();
    body.destroy();
    await expect(received).rejects.toThrow();
    expect(sender.destroyed).toBe(false);
    vi.advanceTimersByTime(2 * idleMs);
    expect(sender.destroyed).toBe(false);
  });
});

describe('a short body', () => {
  const options = { sizeBytes: 10, idleMs };

  it('is held in memory', async () => {
    const received = smallBodyOf(request(), options);
    sender.write('12345');
    sender.end('67890');
    expect(Buffer.from(await received).toString()).toBe('1234567890');
  });

  it('is incomplete when its sender falls silent or goes away', async () => {
    const silent = smallBodyOf(request(), options);
    sender.write('x');
    await nextTurn();
    vi.advanceTimersByTime(idleMs + 1);
    await expect(silent).rejects.toMatchObject({ kind: 'incomplete-body' });
    sender = new PassThrough();
    const leaving = smallBodyOf(request(), options);
    sender.destroy();
    await expect(leaving).rejects.toMatchObject({ kind: 'incomplete-body' });
    await expect(smallBodyOf(request(), options)).rejects.toMatchObject({
      kind: 'incomplete-body',
    });
  });
});

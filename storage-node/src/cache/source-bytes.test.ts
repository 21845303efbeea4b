import { Readable } from 'node:stream';
import {
  type BlobSource,
  type ByteRange,
  newBlobId,
  newNodeId,
  type PullRequest,
  StoreError,
} from '@dfs/shared';
import { md5Of, patternBytes } from '@dfs/shared/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import type { FetchRange } from '../blob-fetcher.ts';
import { sourceBytes } from './source-bytes.ts';

const bytes = patternBytes(300_000);
const blob = { blobId: newBlobId(), sizeBytes: bytes.byteLength, md5: md5Of(bytes) };
const sourceOf = (name: string): BlobSource => ({ nodeId: newNodeId(), url: `http://${name}` });
const first = sourceOf('first');
const second = sourceOf('second');
const range = { start: 1_000, end: 250_000 };

/** What was asked, as `<url> <start>-<end>`. */
let asked: string[];
beforeEach(() => {
  asked = [];
});

type Behaviour = (range: ByteRange, signal: AbortSignal) => Readable;
const whole: Behaviour = ({ start, end }) => Readable.from([bytes.subarray(start, end)]);
const breaksAfter =
  (length: number): Behaviour =>
  ({ start, end }) => {
    async function* some() {
      yield bytes.subarray(start, Math.min(end, start + length));
      if (start + length >= end) return;
      throw new StoreError('unavailable', 'It broke off.');
    }
    return Readable.from(some());
  };
const refuses: Behaviour = () => {
  throw new StoreError('not-found', 'It has none.');
};

function fetching(behaviours: Record<string, Behaviour>): FetchRange {
  return async ({ source }: PullRequest, part, signal) => {
    asked.push(`${source.url} ${part.start}-${part.end}`);
    const behaviour = behaviours[source.url];
    if (!behaviour)
      throw new StoreError('unavailable', `The node at ${source.url} gives no answer.`);
    return behaviour(part, signal);
  };
}

const never = new AbortController().signal;

async function gather(
  fetchRange: FetchRange,
  more: Partial<Parameters<typeof sourceBytes>[0]> = {},
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  const options = { blob, range, sources: [first, second], fetchRange, signal: never, ...more };
  for await (const piece of sourceBytes(options)) pieces.push(piece);
  return Buffer.concat(pieces);
}

describe('the bytes of a blob from its sources', () => {
  it('go on at the same byte from the next source when one breaks off', async () => {
    const fetchRange = fetching({ 'http://first': breaksAfter(7_777), 'http://second': whole });
    expect(await gather(fetchRange)).toEqual(Buffer.from(bytes.subarray(range.start, range.end)));
    expect(asked).toEqual(['http://first 1000-250000', 'http://second 8777-250000']);
  });

  it('come from a source that breaks off again and again, as long as it gives some', async () => {
    const fetchRange = fetching({ 'http://first': breaksAfter(100_000) });
    expect(await gather(fetchRange, { sources: [first] })).toHaveLength(249_000);
    expect(asked).toHaveLength(3);
  });

  it('are refused once no source is left, with what the last one said as the cause', async () => {
    const fetchRange = fetching({ 'http://first': refuses, 'http://second': refuses });
    const refused = await gather(fetchRange).catch((error: unknown) => error);
    expect(refused).toMatchObject({ kind: 'unavailable', cause: { message: 'It has none.' } });
    expect(asked).toHaveLength(2);
  });

  it('come from newer sources when those given are gone, which are asked for once', async () => {
    let refreshed = 0;
    const refresh = async () => {
      refreshed += 1;
      return [sourceOf('third')];
    };
    expect(await gather(fetching({ 'http://third': whole }), { refresh })).toHaveLength(249_000);
    expect(refreshed).toBe(1);
    await expect(gather(fetching({}), { refresh })).rejects.toMatchObject({ kind: 'unavailable' });
    expect(refreshed).toBe(2);
  });

  it('are refused to users without the addresses of nodes', async () => {
    await expect(gather(fetching({}))).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.not.stringContaining('http'),
      hint: expect.not.stringContaining('http'),
      cause: { message: 'The node at http://second gives no answer.' },
    });
  });

  it('end at the source as soon as the reader leaves', async () => {
    const stopping = new AbortController();
    let isEnded = false;
    const fetchRange = fetching({
      'http://first': ({ start }, signal) => {
        const endless = new Readable({ read: () => undefined });
        endless.push(bytes.subarray(start, start + 10));
        signal.addEventListener('abort', () => {
          isEnded = true;
          endless.destroy(new Error('aborted'));
        });
        return endless;
      },
    });
    const options = { blob, range, sources: [first], fetchRange, signal: stopping.signal };
    const pieces = sourceBytes(options);
    await pieces.next();
    const waiting = pieces.next();
    stopping.abort();
    await expect(waiting).rejects.toMatchObject({ kind: 'cancelled' });
    expect(isEnded).toBe(true);
    expect(asked).toHaveLength(1);
  });
});

import { afterEach, describe, expect, it, vi } from 'vitest';
import { StoreError } from './errors.ts';
import {
  type BlobId,
  inventoryKeyOf,
  newBlobId,
  newClusterId,
  newEntryId,
  newFileId,
  newNodeId,
  parseBlobId,
  parseClusterId,
  parseEntryId,
  parseFileId,
  parseNodeId,
  shardOf,
} from './ids.ts';

afterEach(() => {
  vi.useRealTimers();
});

const parsers = [parseBlobId, parseFileId, parseEntryId, parseNodeId, parseClusterId];

describe('a new id', () => {
  it('is a UUID of version 7 with the time of its making', () => {
    const before = Date.now();
    for (const make of [newBlobId, newFileId, newNodeId, newEntryId, newClusterId]) {
      const id = make();
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      const madeMs = Number.parseInt(id.replace('-', '').slice(0, 12), 16);
      expect(madeMs).toBeGreaterThanOrEqual(before);
      expect(madeMs).toBeLessThan(Date.now() + 1_000);
    }
  });

  it('is never given twice and sorts after those before it, many in one millisecond too', () => {
    const ids = Array.from({ length: 20_000 }, () => newBlobId());
    expect(new Set(ids).size).toBe(ids.length);
    expect([...ids].sort()).toEqual(ids);
  });

  it('sorts after those before it when the clock is set back', () => {
    const before = newBlobId();
    vi.useFakeTimers({ now: Date.now() - 3_600_000, toFake: ['Date'] });
    expect(newBlobId() > before).toBe(true);
  });

  it('spreads over all folders of a disk', () => {
    const shards = new Set(Array.from({ length: 10_000 }, () => shardOf(newBlobId())));
    expect(shards.size).toBe(256);
  });
});

describe('the text of an id', () => {
  it.each(parsers)('is taken in any letter case and kept in lower case (%#)', (parse) => {
    const id = newBlobId();
    expect(parse(id)).toBe(id);
    expect(parse(id.toUpperCase())).toBe(id);
  });

  const good = '0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b11';
  it.each([
    '',
    'x',
    '../../etc/passwd',
    good.slice(1),
    `${good}0`,
    ` ${good}`,
    `${good}\n`,
    good.replaceAll('-', ''),
    good.replace('-7', '-4'),
    good.replace('-9a', '-ca'),
    good.replace('0', 'g'),
    `{${good}}`,
    '00000000-0000-0000-0000-000000000000',
    'ffffffff-ffff-ffff-ffff-ffffffffffff',
    'x'.repeat(100_000),
    undefined,
    null,
    7,
    [good],
  ])('%j is refused', (text) => {
    for (const parse of parsers) {
      expect(() => parse(text as string)).toThrow(StoreError);
      expect(() => parse(text as string)).toThrow(
        expect.objectContaining({ kind: 'invalid-request' }),
      );
    }
  });

  it('gives the folder and the key of inventories', () => {
    expect(shardOf(good as BlobId)).toBe('11');
    expect(inventoryKeyOf(good as BlobId)).toBe(`11${good}`);
  });
});

import { newBlobId } from '@dfs/shared';
import { FakeClock } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { BlobsInUse } from './blobs-in-use.ts';

describe('blobs in use', () => {
  const clock = new FakeClock();
  const inUse = new BlobsInUse(clock);
  const [one, two] = [newBlobId(), newBlobId()];

  it('are read until their last reader let go, however often it says so', () => {
    const first = inUse.reading([one, two]);
    const second = inUse.reading([one]);
    first();
    first();
    expect([...inUse.readingNow()]).toEqual([one]);
    second();
    expect([...inUse.readingNow()]).toEqual([]);
  });

  it('are in an upload until it let go', () => {
    const release = inUse.uploading([one, two]);
    expect([...inUse.uploadingNow()]).toEqual([one, two]);
    release();
    release();
    expect([...inUse.uploadingNow()]).toEqual([]);
  });

  it('tell which uploads take long', () => {
    const releaseOne = inUse.uploading([one]);
    clock.advance(20_000);
    const releaseTwo = inUse.uploading([two]);
    clock.advance(10_000);
    expect(inUse.uploadingFor(30_000)).toEqual([one]);
    expect(inUse.uploadingFor(10_000)).toEqual([one, two]);
    releaseOne();
    releaseTwo();
    expect(inUse.uploadingFor(0)).toEqual([]);
  });

  it('gives a picture of the moment, which does not change any more', () => {
    const release = inUse.uploading([one]);
    const before = inUse.uploadingNow();
    release();
    expect([...before]).toEqual([one]);
  });
});

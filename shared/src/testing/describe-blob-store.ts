import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BlobPeer, BlobSource, BlobStore } from '../blob-store.ts';
import type { BlobId, ClusterId } from '../ids.ts';
import { describeBlobs } from './blob-store-suite/blobs.ts';
import { describeBrokenPuts } from './blob-store-suite/broken-puts.ts';
import { describeInventory } from './blob-store-suite/inventory.ts';
import { describePulls } from './blob-store-suite/pulls.ts';
import { describeRot } from './blob-store-suite/rot.ts';
import { SuiteBlobs } from './blob-store-suite/suite-blobs.ts';

/** A store under test with what the suite needs around it. */
export interface BlobStoreHarness {
  readonly store: BlobStore & Partial<BlobPeer>;
  /** The master's clock as the store knows it, ms; by default the system's. */
  readonly now?: () => number;
  /** The cluster and epoch that descriptions must name; by default those of `makeDescription`. */
  readonly clusterId?: ClusterId;
  readonly epoch?: number;
  /** Flips a bit of the stored byte at `offset`. Absent: the tests of bit rot are left out. */
  readonly corrupt?: (id: BlobId, offset: number) => void | Promise<void>;
  /** Another store that this one can pull from. Absent: the tests of pulls are left out. */
  readonly peer?: {
    readonly store: BlobStore;
    readonly source: BlobSource;
    readonly corrupt: (id: BlobId, offset: number) => void | Promise<void>;
  };
  readonly close?: () => Promise<void>;
}

export interface BlobStoreSuiteOptions {
  /** The harness can flip bits of stored bytes; by default true. */
  readonly canCorrupt?: boolean;
  /** The store is a `BlobPeer` and the harness has a `peer`; by default true. */
  readonly isPeer?: boolean;
}

/** Proves that a store keeps the promises of `BlobStore`, and those of `BlobPeer` where it has that face. */
export function describeBlobStore(
  name: string,
  create: () => Promise<BlobStoreHarness>,
  { canCorrupt = true, isPeer = true }: BlobStoreSuiteOptions = {},
): void {
  describe(name, () => {
    let harness: BlobStoreHarness | undefined;
    beforeAll(async () => {
      harness = await create();
    });
    afterAll(() => harness?.close?.());
    const blobs = new SuiteBlobs(() => {
      if (!harness) throw new Error('The harness is made before the first test.');
      return harness;
    });

    it('has the faces that the suite was told of', () => {
      expect(blobs.harness.corrupt !== undefined).toBe(canCorrupt);
      expect(blobs.harness.peer !== undefined && blobs.harness.store.pull !== undefined).toBe(
        isPeer,
      );
    });
    describeBlobs(blobs);
    describeBrokenPuts(blobs);
    if (canCorrupt) describeRot(blobs);
    if (isPeer) {
      describeInventory(blobs);
      describePulls(blobs, { canCorrupt });
    }
  });
}

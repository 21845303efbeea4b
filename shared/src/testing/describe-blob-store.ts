import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BlobPeer, BlobSource, BlobStore } from '../blob-store.ts';
import type { BlobId, ClusterId } from '../ids.ts';

/** A store under test with what the suite needs around it. */
export interface BlobStoreHarness {
  readonly store: BlobStore & Partial<BlobPeer>;
  /** The master's clock as the store knows it, ms; by default the system's. */
  readonly now?: () => number;
  /** The cluster and epoch that descriptions must name; by default those of `makeDescription`. */
  readonly clusterId?: ClusterId;
  readonly epoch?: number;
  /** Flips a bit of the stored byte at `offset`. Absent: tests of bit rot are left out. */
  readonly corrupt?: (id: BlobId, offset: number) => void | Promise<void>;
  /** Another store that this one can pull from. Absent: tests of pulls are left out. */
  readonly peer?: {
    readonly store: BlobStore;
    readonly source: BlobSource;
    readonly corrupt?: (id: BlobId, offset: number) => void | Promise<void>;
  };
  readonly close?: () => Promise<void>;
}

/** Proves that a store keeps the promises of `BlobStore`, and those of `BlobPeer` when it has that face. */
export function describeBlobStore(name: string, create: () => Promise<BlobStoreHarness>): void {
  describe(name, () => {
    let harness: BlobStoreHarness;
    beforeAll(async () => {
      harness = await create();
    });
    afterAll(() => harness.close?.());
    it('has a store', () => {
      expect(harness.store).toBeDefined();
    });
  });
}

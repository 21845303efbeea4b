import { eventually, linesOfRecords, makeJournalRecords, seededRandom } from '@dfs/shared/testing';
import { afterEach, describe, expect, it } from 'vitest';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import { bind, bindRequest, path } from '../metadata/testing/metadata-fixtures.ts';
import { rebuildFrom, rowsOf, type TestKeeper, TestShipping } from './testing/test-shipping.ts';

let shipping: TestShipping;
afterEach(() => shipping.close());

/** Binds so many files, whose names begin with `name`. */
async function grow(metadata: MetadataRepository, name: string, count: number): Promise<void> {
  for (let at = 0; at < count; at += 500) {
    const files = Math.min(500, count - at);
    await Promise.all(
      Array.from({ length: files }, (_, i) => bind(metadata, `/${name}/${at + i}`)),
    );
  }
}

const allShipped = () => eventually(() => shipping.isAllShipped()).toBe(true);
const first = () => shipping.chosen()[0] as TestKeeper;
/** Snapshots as soon as there is anything to put into one. */
const eager = { afterBytes: 20_000, afterTimes: 0.5 };

/** Nothing is sent any more, so that what a keeper has can be looked at in peace. */
async function settle(): Promise<void> {
  await allShipped();
  await shipping.shipper?.stop();
}

/** A keeper alone gives what the database holds. */
async function expectRebuilt(keeper: TestKeeper): Promise<void> {
  const found = await rebuildFrom(keeper.journal);
  const wanted = await rowsOf(shipping.metadata);
  const roots = [...wanted.keys()].filter((name) => !found.has(name));
  // The roots are in every new database, and so in no record.
  for (const name of roots) wanted.delete(name);
  expect(roots.length).toBeLessThanOrEqual(2);
  expect(found).toEqual(wanted);
}

describe('the journal on nodes', () => {
  it('is kept by three, zones apart, soon after each commit', async () => {
    shipping = await TestShipping.open(['a', 'a', 'b', 'c', 'a']);
    shipping.start();
    await grow(shipping.metadata, 'files', 100);
    await shipping.metadata.makeDirectory(path('/empty'));
    await allShipped();
    expect(
      shipping
        .chosen()
        .map(({ zone }) => zone)
        .sort(),
    ).toEqual(['a', 'b', 'c']);
    for (const keeper of shipping.chosen()) {
      expect(keeper.journal.numbers).toHaveLength(101);
      await expectRebuilt(keeper);
    }
    // What is committed together is sent together.
    expect(first().countOf('appendRecords')).toBeLessThan(30);
  });

  it('begins with one node and spreads as others come', async () => {
    shipping = await TestShipping.open([undefined]);
    shipping.start();
    await grow(shipping.metadata, 'files', 20);
    await allShipped();
    expect(shipping.chosen()).toHaveLength(1);
    shipping.addKeeper();
    shipping.addKeeper();
    shipping.addKeeper();
    await eventually(() => shipping.chosen().length).toBe(3);
    await allShipped();
    for (const keeper of shipping.chosen()) await expectRebuilt(keeper);
  });

  it('leaves a zone that has more of it than its share', async () => {
    shipping = await TestShipping.open(['a', 'a', 'a']);
    shipping.start();
    await grow(shipping.metadata, 'files', 20);
    await allShipped();
    const other = shipping.addKeeper('b');
    await eventually(() => shipping.chosen().includes(other)).toBe(true);
    await allShipped();
    expect(shipping.chosen()).toHaveLength(3);
  });

  it('reaches a keeper that was away, from where it was', async () => {
    shipping = await TestShipping.open([undefined, undefined, undefined]);
    shipping.start();
    await grow(shipping.metadata, 'before', 30);
    await allShipped();
    const away = first();
    shipping.down(away);
    await grow(shipping.metadata, 'meanwhile', 700);
    await eventually(() =>
      shipping.shipper?.state().keepers.filter((each) => each.lagRecords === 0),
    ).toHaveLength(2);
    expect(away.journal.numbers).toHaveLength(30);
    expect(shipping.shipper?.state().keepers[0]).toMatchObject({ last: 30, lagRecords: 700 });
    shipping.up(away);
    await allShipped();
    expect(away.countOf('putSnapshot')).toBe(0);
    await expectRebuilt(away);
  });

  it('goes to another node when a keeper stays away', async () => {
    shipping = await TestShipping.open([undefined, undefined, undefined, undefined]);
    shipping.start({ replaceAfterMs: 100 });
    await grow(shipping.metadata, 'files', 50);
    await allShipped();
    const [spare] = shipping.keepers.filter((keeper) => !shipping.chosen().includes(keeper));
    const lost = first();
    shipping.down(lost);
    await eventually(() => shipping.chosen().includes(lost)).toBe(false);
    await allShipped();
    expect(shipping.chosen()).toContain(spare);
    await expectRebuilt(spare as TestKeeper);
  });

  it('stays with its keepers when there is no other node', async () => {
    shipping = await TestShipping.open([undefined, undefined]);
    shipping.start({ replaceAfterMs: 0 });
    await grow(shipping.metadata, 'files', 5);
    await allShipped();
    const lost = first();
    shipping.down(lost);
    await grow(shipping.metadata, 'more', 5);
    await eventually(() =>
      shipping.shipper
        ?.state()
        .keepers.map((each) => each.lagRecords)
        .sort(),
    ).toEqual([0, 5]);
    shipping.up(lost);
    await allShipped();
  });

  it('goes on with the same keepers when the master is started anew midway', async () => {
    shipping = await TestShipping.open([undefined, undefined, undefined, undefined, undefined]);
    shipping.start();
    await grow(shipping.metadata, 'before', 40);
    await allShipped();
    const chosen = shipping.chosen();
    for (let round = 0; round < 3; round += 1) {
      const growing = grow(shipping.metadata, `round-${round}`, 300);
      await growing;
      await shipping.restart();
      await allShipped();
    }
    expect(new Set(shipping.chosen())).toEqual(new Set(chosen));
    for (const keeper of chosen) {
      expect(keeper.journal.numbers).toHaveLength(940);
      expect(keeper.countOf('putSnapshot')).toBe(0);
      await expectRebuilt(keeper);
    }
  });

  it('is shipped to its end when the master stops in order', async () => {
    shipping = await TestShipping.open([undefined, undefined]);
    // Nothing is gathered before the stop.
    const shipper = shipping.start({ gatherMs: 60_000 });
    await grow(shipping.metadata, 'files', 10);
    await eventually(() => shipping.chosen().length).toBe(2);
    await allShipped();
    await grow(shipping.metadata, 'more', 10);
    await shipper.stop();
    for (const keeper of shipping.keepers) expect(keeper.journal.numbers).toHaveLength(20);
  });
});

describe('snapshots', () => {
  it('keep the journal bounded, on nodes and in the database', async () => {
    shipping = await TestShipping.open([undefined, undefined, undefined]);
    shipping.start(eager);
    for (let round = 0; round < 20; round += 1) {
      // The same names again and again: the database does not grow, the journal would.
      await grow(shipping.metadata, 'files', 50);
      await allShipped();
    }
    await eventually(async () => {
      const extent = await shipping.metadata.journalExtent();
      return extent && extent.last - extent.first;
    }).toBeLessThan(300);
    await settle();
    for (const keeper of shipping.chosen()) {
      const { snapshots, runs } = await keeper.journal.journalStatus();
      expect(snapshots.length).toBeLessThanOrEqual(2);
      expect(runs.reduce((sum, run) => sum + run.last - run.first, 0)).toBeLessThan(300);
      await expectRebuilt(keeper);
    }
  });

  it('taken while everything changes give the database, with the records after them', async () => {
    shipping = await TestShipping.open([undefined, undefined]);
    shipping.start(eager);
    const random = seededRandom(7);
    const { metadata } = shipping;
    const name = () => `/d${Math.floor(random() * 4)}/${Math.floor(random() * 300)}`;
    const change = async () => {
      const kind = random();
      if (kind < 0.6) await bind(metadata, name());
      else if (kind < 0.8) await metadata.removeEntry(path(name()));
      else {
        const trashUntilMs = Date.now() + 60_000;
        await metadata.moveEntry({
          from: path(name()),
          to: path(name()),
          overwrite: true,
          trashUntilMs,
        });
      }
    };
    for (let round = 0; round < 60; round += 1) {
      // Names that are not there are refused: a part of the mixture.
      await Promise.all(Array.from({ length: 40 }, () => change().catch(() => undefined)));
    }
    await allShipped();
    await eventually(() =>
      shipping.keepers.every((keeper) => keeper.countOf('putSnapshot') > 2),
    ).toBe(true);
    await settle();
    for (const keeper of shipping.chosen()) await expectRebuilt(keeper);
  }, 60_000);

  it('are not sent again while the records that one needs are on their way', async () => {
    shipping = await TestShipping.open([undefined]);
    const [keeper] = shipping.keepers as [TestKeeper];
    const { intercept } = keeper.journal;
    let letGo = () => {};
    const looked = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    keeper.journal.intercept = async (request) => {
      const isStored = keeper.journal.snapshots.length > 0;
      // More is committed while the snapshot is read, and none of it arrives before the keeper was looked at again.
      if (request === 'putSnapshot') await grow(shipping.metadata, 'meanwhile', 20);
      if (request === 'appendRecords' && keeper.countOf('putSnapshot') > 0) await looked;
      await intercept?.(request);
      if (request === 'journalStatus' && isStored) letGo();
    };
    await grow(shipping.metadata, 'files', 60);
    shipping.start({ afterBytes: 60_000, afterTimes: 0 });
    await eventually(() => keeper.countOf('putSnapshot')).toBe(1);
    await allShipped();
    await grow(shipping.metadata, 'after', 3);
    await allShipped();
    await eventually(() => shipping.shipper?.state().keepers[0]?.snapshot?.from).toBe(60);
    await settle();
    expect(keeper.countOf('putSnapshot')).toBe(1);
  });

  it('come first to a node that lacks more than the database still has', async () => {
    shipping = await TestShipping.open([undefined, undefined]);
    shipping.start(eager);
    for (let round = 0; round < 6; round += 1) {
      await grow(shipping.metadata, `files-${round}`, 60);
      await allShipped();
    }
    await eventually(async () => (await shipping.metadata.journalExtent())?.first).toBeGreaterThan(
      1,
    );
    const late = shipping.addKeeper();
    await eventually(() => shipping.chosen().includes(late)).toBe(true);
    await settle();
    expect(late.countOf('putSnapshot')).toBeGreaterThan(0);
    await expectRebuilt(late);
  });

  it('let nothing be forgotten that a keeper lacks', async () => {
    shipping = await TestShipping.open([undefined, undefined, undefined]);
    shipping.start(eager);
    await grow(shipping.metadata, 'before', 10);
    await allShipped();
    const away = first();
    shipping.down(away);
    for (let round = 0; round < 6; round += 1) await grow(shipping.metadata, `files-${round}`, 60);
    const others = shipping.keepers.filter((keeper) => keeper !== away);
    await eventually(() => others.every((keeper) => keeper.countOf('putSnapshot') > 0)).toBe(true);
    expect((await shipping.metadata.journalExtent())?.first).toBeLessThanOrEqual(11);
    shipping.up(away);
    await settle();
    // By the records that it lacked or, once a snapshot of its own was due, by that.
    const { last } = await away.journal.journalStatus();
    expect(last).toBe(shipping.metadata.journalNumber());
    await expectRebuilt(away);
  });

  it('repair a keeper whose records are damaged', async () => {
    shipping = await TestShipping.open([undefined, undefined]);
    shipping.start();
    await grow(shipping.metadata, 'files', 50);
    await allShipped();
    first().journal.damage(20);
    // It finds out at a start, say.
    shipping.tell(first());
    await eventually(() => first().countOf('putSnapshot')).toBe(1);
    await allShipped();
    await grow(shipping.metadata, 'more', 5);
    await settle();
    await expectRebuilt(first());
  });

  it('are tried again when they fail', async () => {
    shipping = await TestShipping.open([undefined]);
    shipping.start();
    await grow(shipping.metadata, 'files', 50);
    await allShipped();
    const keeper = first();
    const { intercept } = keeper.journal;
    keeper.journal.intercept = (request) => {
      if (request === 'putSnapshot') throw new Error('The disk is full.');
      return intercept?.(request);
    };
    keeper.journal.damage(20);
    shipping.tell(keeper);
    await eventually(() => shipping.lines.lines.map(({ message }) => message)).toContain(
      'a snapshot of the journal was not stored',
    );
    expect(shipping.shipper?.state().keepers[0]).toMatchObject({ current: false });
  });
});

describe('nothing is shipped', () => {
  it('in recovery', async () => {
    shipping = await TestShipping.open([undefined, undefined]);
    shipping.recovery = 'The database is empty.';
    shipping.start();
    await grow(shipping.metadata, 'files', 10);
    const rounds = () => shipping.shipper?.step(new AbortController().signal);
    await rounds();
    await rounds();
    expect(shipping.keepers.flatMap(({ requests }) => requests)).toEqual([]);
    shipping.recovery = undefined;
    await allShipped();
  });

  it.each([
    ['a newer epoch', 2, 3],
    ['changes that this database never made', 1, 80],
  ])('when a node has %s', async (_, epoch, count) => {
    shipping = await TestShipping.open([undefined, undefined, undefined]);
    await grow(shipping.metadata, 'files', 50);
    await shipping.keepers[2]?.journal.appendRecords(
      linesOfRecords(makeJournalRecords(1, count, { epoch })),
    );
    shipping.start({ settleMs: 0 });
    await eventually(() => shipping.shipper?.state().problem).toMatch(/newer journal/);
    await grow(shipping.metadata, 'more', 50);
    await shipping.shipper?.step(new AbortController().signal);
    expect(shipping.keepers[2]?.countOf('appendRecords')).toBe(1);
    expect(shipping.keepers.flatMap(({ requests }) => requests)).not.toContain('putSnapshot');
    expect(shipping.lines.lines.filter(({ level }) => level === 'error')).toHaveLength(1);
  });

  it('until a restore has taken over what a node had beyond the database: the journal then goes on in a new epoch', async () => {
    shipping = await TestShipping.open([undefined, undefined]);
    await grow(shipping.metadata, 'files', 50);
    await shipping.keepers[1]?.journal.appendRecords(
      linesOfRecords(makeJournalRecords(1, 3, { epoch: 2 })),
    );
    shipping.start({ settleMs: 0 });
    await eventually(() => shipping.shipper?.state().problem).toMatch(/newer journal/);
    const { metadata } = shipping;
    const { clusterId } = metadata.identity();
    await metadata.restore.begin('replay');
    await metadata.restore.adopt({ clusterId, epoch: 3 }, metadata.journalNumber());
    await metadata.restore.derive({ isSure: true });
    await metadata.restore.end();
    await grow(metadata, 'more', 50);
    await allShipped();
    expect(shipping.shipper?.state().problem).toBeUndefined();
  });
});

describe('after a restore', () => {
  it('every keeper gets a snapshot of the new epoch before its records', async () => {
    shipping = await TestShipping.open([undefined, undefined]);
    shipping.start();
    await grow(shipping.metadata, 'files', 40);
    await allShipped();
    const { metadata } = shipping;
    const { clusterId } = metadata.identity();
    await metadata.restore.begin('replay');
    // It goes on from an earlier change than the keepers have.
    await metadata.restore.adopt({ clusterId, epoch: 2 }, 30);
    await shipping.shipper?.step(new AbortController().signal);
    expect(shipping.keepers.map((keeper) => keeper.countOf('putSnapshot'))).toEqual([0, 0]);
    await metadata.restore.derive({ isSure: true });
    await metadata.restore.end();
    await grow(metadata, 'later', 10);
    await eventually(() =>
      shipping.keepers.map((keeper) => keeper.journal.snapshots[0]?.epoch),
    ).toEqual([2, 2]);
    await settle();
    for (const keeper of shipping.keepers) {
      expect(await keeper.journal.journalStatus()).toMatchObject({ epoch: 2, last: 41 });
      await expectRebuilt(keeper);
    }
  });

  it('shipping goes on that had stopped because the database was an old one', async () => {
    shipping = await TestShipping.open([undefined, undefined]);
    await grow(shipping.metadata, 'files', 5);
    const newer = linesOfRecords(makeJournalRecords(1, 9));
    for (const keeper of shipping.keepers) await keeper.journal.appendRecords(newer);
    shipping.start();
    await eventually(() => shipping.shipper?.state().problem).toMatch(/newer journal/);
    const { metadata } = shipping;
    const { clusterId } = metadata.identity();
    await metadata.restore.begin('replay');
    await metadata.restore.adopt({ clusterId, epoch: 2 }, 9);
    await metadata.restore.derive({ isSure: true });
    await metadata.restore.end();
    await grow(metadata, 'later', 5);
    await allShipped();
    expect(shipping.shipper?.state().problem).toBeUndefined();
    await eventually(() =>
      shipping.keepers.map((keeper) => keeper.journal.snapshots[0]?.epoch),
    ).toEqual([2, 2]);
    await settle();
    for (const keeper of shipping.keepers) await expectRebuilt(keeper);
  });
});

describe('a long journal', () => {
  it('of 50 000 changes arrives whole, about a megabyte at a time', async () => {
    shipping = await TestShipping.open([undefined, undefined]);
    for (let at = 0; at < 50_000; at += 1_000) {
      const requests = Array.from({ length: 1_000 }, (_, i) => bindRequest(`/d${at}/${i}`));
      await Promise.all(requests.map((request) => shipping.metadata.bindFiles([request])));
    }
    shipping.start();
    await eventually(() => shipping.isAllShipped()).toBe(true);
    for (const keeper of shipping.keepers) {
      expect(keeper.journal.numbers).toHaveLength(50_000);
      expect(keeper.longestAppendBytes).toBeLessThan(2 * 2 ** 20);
      // Many pages, and each was asked for once.
      expect(keeper.countOf('appendRecords')).toBeGreaterThan(20);
    }
  }, 120_000);
});

import { describe } from 'vitest';
import { describeBinding } from './bind-suite.ts';
import { describeCollection } from './collection-suite.ts';
import { describeCopies } from './copies-suite.ts';
import { describeCopiesWanted } from './copies-wanted-suite.ts';
import { describeCopying } from './copy-suite.ts';
import { describeHealing } from './healing-suite.ts';
import { describeInventories } from './inventory-suite.ts';
import { describeJournal } from './journal-suite.ts';
import { describeKeeping } from './keeping-suite.ts';
import { describeLargeDirectories } from './large-directory-suite.ts';
import type { OpenMetadata } from './metadata-harness.ts';
import { describeReadersOfMoves } from './moving-readers-suite.ts';
import { describeMoving } from './moving-suite.ts';
import { describeRaces } from './race-suite.ts';
import { describeRandomWrites } from './random-suite.ts';
import { describeRestores } from './restore-suite.ts';
import { describeRights } from './rights-suite.ts';
import { describeSnapshots } from './snapshot-suite.ts';
import { describeTouching } from './touch-suite.ts';
import { describeTrash } from './trash-suite.ts';
import { describeTreeAgainstModel } from './tree-model-suite.ts';
import { describeTree } from './tree-suite.ts';
import { describeWalks } from './walk-suite.ts';

/** Proves that a repository keeps the promises of `MetadataRepository`. `open` gives one on a new database. */
export function describeMetadataRepository(name: string, open: OpenMetadata): void {
  describe(name, () => {
    describe('the tree', () => describeTree(open));
    describe('walks', () => describeWalks(open));
    describe('binding', () => describeBinding(open));
    describe('touching', () => describeTouching(open));
    describe('moving', () => describeMoving(open));
    describe('races', () => describeRaces(open));
    describe('copies', () => describeCopies(open));
    describe('copies wanted', () => describeCopiesWanted(open));
    describe('readers of what moves', () => describeReadersOfMoves(open));
    describe('a copy', () => describeCopying(open));
    describe('inventories', () => describeInventories(open));
    describe('healing', () => describeHealing(open));
    describe('collection', () => describeCollection(open));
    describe('keeping', () => describeKeeping(open));
    describe('the journal', () => describeJournal(open));
    describe('snapshots', () => describeSnapshots(open));
    describe('restores', () => describeRestores(open));
    describe('the trash', () => describeTrash(open));
    describe('rights', () => describeRights(open));
    describe('large directories', () => describeLargeDirectories(open));
    describe('any mixture', () => {
      describeRandomWrites(open);
      describeTreeAgainstModel(open);
    });
  });
}

import { describeJournalKeeper } from './describe-journal-keeper.ts';
import { MemoryJournal } from './memory-journal.ts';

describeJournalKeeper('MemoryJournal', async () => {
  const keeper = new MemoryJournal();
  return { keeper, damage: (number) => keeper.damage(number) };
});

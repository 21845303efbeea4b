import type { JournalAnswer } from '@dfs/shared';
import { Gauge, type Registry } from 'prom-client';

/** The gauges of how the journal is kept on nodes, read when somebody asks. */
export function addJournalGauges(registers: Registry[], state: () => JournalAnswer): void {
  new Gauge({
    name: 'dfs_journal_number',
    help: 'Number of the newest change of the database.',
    registers,
    collect() {
      this.set(state().number);
    },
  });
  const keepers = (
    name: string,
    help: string,
    read: (keeper: JournalAnswer['keepers'][number]) => number | undefined,
  ) =>
    new Gauge({
      name,
      help,
      labelNames: ['node'],
      registers,
      collect() {
        this.reset();
        for (const keeper of state().keepers) {
          const value = read(keeper);
          if (value !== undefined) this.set({ node: keeper.name }, value);
        }
      },
    });
  keepers(
    'dfs_journal_keeper_current',
    'Nodes that keep the journal; 1: it has all changes but those of the last seconds.',
    ({ current }) => Number(current),
  );
  keepers(
    'dfs_journal_lag_records',
    'Changes that a keeper of the journal lacks.',
    ({ lagRecords }) => lagRecords,
  );
  keepers(
    'dfs_journal_lag_seconds',
    'How long there has been a change that a keeper of the journal lacks.',
    ({ lagSeconds }) => lagSeconds,
  );
  keepers(
    'dfs_journal_snapshot_age_seconds',
    'Age of the newest snapshot of a keeper that the database could be rebuilt from.',
    ({ snapshot }) => snapshot?.ageSeconds,
  );
  keepers(
    'dfs_journal_snapshot_bytes',
    'Size of that snapshot.',
    ({ snapshot }) => snapshot?.bytes,
  );
}

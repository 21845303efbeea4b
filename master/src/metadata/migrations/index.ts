import type { Knex } from 'knex';
import { createTree } from './001-tree.ts';
import { createCopies } from './002-copies.ts';
import { createWorkingTree } from './003-working-tree.ts';
import { createHealing } from './004-healing.ts';
import { createRestore } from './005-restore.ts';
import { addConfiguredCopies } from './006-configured-copies.ts';
import { createRights } from './007-rights.ts';

interface Migration {
  readonly name: string;
  up(knex: Knex): Promise<void>;
}

/**
 * Every step from an empty database to today's tables, in order; steps are added, never edited. An object rather than a folder, so that no
 * file is loaded by name. `nowMs` is the time written into a new cluster.
 */
export function migrationSource(nowMs: number): Knex.MigrationSource<Migration> {
  const migrations: readonly Migration[] = [
    { name: '001-tree', up: (knex) => createTree(knex, nowMs) },
    { name: '002-copies', up: createCopies },
    { name: '003-working-tree', up: createWorkingTree },
    { name: '004-healing', up: createHealing },
    { name: '005-restore', up: createRestore },
    { name: '006-configured-copies', up: addConfiguredCopies },
    { name: '007-rights', up: createRights },
  ];
  return {
    getMigrations: async () => [...migrations],
    getMigrationName: (migration) => migration.name,
    // There is no way back: an older program refuses a newer database.
    getMigration: async ({ up }) => ({ up, down: async () => {} }),
  };
}

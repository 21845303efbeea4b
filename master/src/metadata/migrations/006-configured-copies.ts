import type { Knex } from 'knex';

/** How many copies were configured when the database was last opened: with another number, what says none itself is looked at again. Null: not known. */
export async function addConfiguredCopies(knex: Knex): Promise<void> {
  await knex.raw('alter table cluster add column configured_copies integer');
}

import { FakeClock } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import type { Database, WriterSql } from './database.ts';
import { GroupCommit } from './group-commit.ts';
import { MetadataCaches } from './metadata-caches.ts';

/** A database of which only the journal's end is asked. */
class JournalEnd {
  writerSessions = 1;
  number = 0;

  async write<Result>(work: (sql: WriterSql) => Promise<Result>): Promise<Result> {
    const rows = async <Row>() => [{ number: this.number }] as Row[];
    return work({ rows, change: async () => undefined });
  }
}

function makeWrites() {
  const database = new JournalEnd();
  const writes = new GroupCommit({
    database: database as unknown as Database,
    clock: new FakeClock(),
    caches: new MetadataCaches(10),
    configuredCopies: 1,
  });
  const look = () => writes.submit({ rows: 1, decide: () => undefined });
  return { database, writes, look };
}

describe('the writer of a database that others may replace', () => {
  it('goes on with the journal where a new connection finds it', async () => {
    const { database, writes, look } = makeWrites();
    database.number = 7;
    await look();
    expect(writes.journalNumber).toBe(7);
  });

  it('writes nothing more to one that has lost changes, as a standby that took over may have', async () => {
    const { database, writes, look } = makeWrites();
    database.number = 7;
    await look();
    database.number = 5;
    database.writerSessions += 1;
    await expect(look()).rejects.toThrow('it has lost changes');
    await expect(look()).rejects.toMatchObject({ kind: 'unavailable' });
    expect(writes.journalNumber).toBe(7);
  });

  it('takes what a restore made of it, whatever its number', async () => {
    const { database, writes, look } = makeWrites();
    database.number = 7;
    await look();
    await writes.suspend();
    database.number = 1;
    writes.resume();
    await look();
    expect(writes.journalNumber).toBe(1);
  });
});

import sqlite3 from 'sqlite3';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { keepStatements } from './sqlite-statements.ts';

let connection: sqlite3.Database;

beforeEach(async () => {
  connection = await new Promise((resolve) => {
    const opened = new sqlite3.Database(':memory:', () => resolve(opened));
  });
  keepStatements(connection);
  await rows('create table t (a integer primary key, b text not null)');
});

afterEach(async () => {
  const failure = await new Promise<Error | null>((resolve) => connection.close(resolve));
  expect(failure).toBeNull();
});

const rows = (sql: string, values: unknown[] = []) =>
  new Promise<unknown[]>((resolve, reject) => {
    connection.all(sql, values, (error, found) => (error ? reject(error) : resolve(found)));
  });

it('gives each use its own values', async () => {
  for (let n = 1; n <= 5; n += 1) await rows('insert into t values (?, ?)', [n, `${n}`]);
  for (let n = 1; n <= 5; n += 1) {
    expect(await rows('select b from t where a = ?', [n])).toEqual([{ b: `${n}` }]);
  }
  expect(await rows('select b from t where a = ?', [6])).toEqual([]);
});

it('goes on after a statement that failed, in a transaction too', async () => {
  const insert = () => rows('insert into t values (1, ?)', ['x']);
  await insert();
  for (let n = 0; n < 3; n += 1) {
    await rows('begin');
    await expect(insert()).rejects.toMatchObject({ code: 'SQLITE_CONSTRAINT' });
    await rows('rollback');
    await expect(rows('select nothing from nowhere')).rejects.toMatchObject({
      code: 'SQLITE_ERROR',
    });
  }
  await rows('begin');
  await rows('delete from t');
  await insert();
  await rows('commit');
  expect(await rows('select * from t')).toEqual([{ a: 1, b: 'x' }]);
});

it('follows a table that changes', async () => {
  await rows('insert into t values (1, ?)', ['x']);
  for (let n = 0; n < 2; n += 1) expect(await rows('select * from t')).toEqual([{ a: 1, b: 'x' }]);
  await rows('alter table t add column c integer default 7');
  expect(await rows('select * from t')).toEqual([{ a: 1, b: 'x', c: 7 }]);
});

it('tells that a statement that was right before is wrong now', async () => {
  const [once, twice] = ['select a from t', 'select b from t'];
  for (const sql of [once, twice, twice]) await rows(sql);
  await rows('drop table t');
  for (const sql of [once, twice, once, twice]) {
    await expect(rows(sql)).rejects.toMatchObject({ code: 'SQLITE_ERROR' });
  }
  await rows('create table t (a integer, b text)');
  for (const sql of [once, twice]) expect(await rows(sql)).toEqual([]);
});

it('keeps no more statements than it may, whatever it is asked', async () => {
  for (let n = 0; n < 1_200; n += 1) {
    for (let use = 0; use < 2; use += 1) {
      expect(await rows(`select ${n} as n`)).toEqual([{ n }]);
    }
  }
  expect(await rows('select 0 as n')).toEqual([{ n: 0 }]);
});

it('answers everyone who uses a statement while it is being prepared, also when that fails', async () => {
  const sql = 'select a from t';
  await rows(sql);
  await rows('drop table t');
  const uses = await Promise.allSettled([rows(sql), rows(sql), rows(sql)]);
  expect(uses.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
  await rows('create table t (a integer)');
  const again = await Promise.all(Array.from({ length: 8 }, () => rows(sql)));
  expect(again).toEqual(again.map(() => []));
});

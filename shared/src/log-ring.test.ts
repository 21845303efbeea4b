import { expect, it } from 'vitest';
import { LogRing } from './log-ring.ts';
import { createLogger } from './logger.ts';

it('keeps the last lines of a program, oldest first, until it is emptied', () => {
  const ring = new LogRing(3);
  for (let number = 1; number <= 3; number += 1) ring.push(`line ${number}\n`);
  expect(ring.lines()).toEqual(['line 1\n', 'line 2\n', 'line 3\n']);
  for (let number = 4; number <= 8; number += 1) ring.push(`line ${number}`);
  expect(ring.lines()).toEqual(['line 6\n', 'line 7\n', 'line 8\n']);
  ring.clear();
  expect(ring.lines()).toEqual([]);
  ring.push('again');
  expect(ring.lines()).toEqual(['again\n']);
});

it('keeps of a long line its beginning', () => {
  const ring = new LogRing();
  ring.push('x'.repeat(100_000));
  expect(ring.lines()[0]?.length).toBe(8_193);
});

it('gets what is logged, also by children, and no secret', () => {
  const ring = new LogRing();
  const written: string[] = [];
  const logger = createLogger({
    program: 'test',
    format: 'json',
    write: (line) => written.push(line),
    ring,
  });
  logger.debug('below the level');
  logger.child({ part: 'door' }).info('asked', { url: '/x?signature=abc&a=1', secret: 'hidden' });
  expect(ring.lines()).toEqual(written);
  expect(written).toHaveLength(1);
  expect(written[0]).toContain('"part":"door"');
  expect(written[0]).not.toMatch(/abc|hidden/);
});

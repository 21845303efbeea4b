import { describe, expect, it } from 'vitest';
import { StoreError } from './errors.ts';
import { createLogger, type LogLevel } from './logger.ts';

function linesOf(options: { format?: 'json' | 'text'; level?: LogLevel } = {}) {
  const lines: string[] = [];
  const logger = createLogger({
    program: 'master',
    format: 'json',
    ...options,
    write: (line) => lines.push(line),
  });
  return { logger, lines, first: () => JSON.parse(lines[0] ?? '') as Record<string, unknown> };
}

describe('a log line', () => {
  it('is one JSON object with time, level, program, message and fields', () => {
    const { logger, lines, first } = linesOf();
    logger.warn('a copy\nis late', { blobId: 'b1', delayMs: 7 });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^\{.*\}\n$/);
    expect(first()).toEqual({
      level: 'warn',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      program: 'master',
      message: 'a copy\nis late',
      blobId: 'b1',
      delayMs: 7,
    });
  });

  it('carries the fields of its logger', () => {
    const { logger, first } = linesOf();
    logger.child({ nodeId: 'n1' }).child({ blobId: 'b1' }).info('stored');
    expect(first()).toMatchObject({ nodeId: 'n1', blobId: 'b1' });
  });

  it.each([
    ['debug', ['debug', 'info', 'warn', 'error']],
    ['info', ['info', 'warn', 'error']],
    ['warn', ['warn', 'error']],
    ['error', ['error']],
    ['silent', []],
  ] as const)('is written from level %s on', (level, written) => {
    const { logger, lines } = linesOf({ level });
    for (const each of ['debug', 'info', 'warn', 'error'] as const) logger[each]('x');
    expect(lines.map((line) => JSON.parse(line).level)).toEqual(written);
  });

  it('tells an error with kind, hint, stack and causes', () => {
    const { logger, first } = linesOf();
    const cause = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
    logger.error('failed', {
      error: new StoreError('unavailable', 'No answer.', { hint: 'Wait.', cause }),
    });
    expect(first()['error']).toMatchObject({
      message: 'No answer.',
      kind: 'unavailable',
      hint: 'Wait.',
      stack: expect.stringContaining('logger.test.ts'),
      cause: { message: 'refused', code: 'ECONNREFUSED' },
    });
  });

  it.each([undefined, null, 'a text', 7, { code: 1 }])(
    'takes %j for an error that is none',
    (error) => {
      const { logger, lines } = linesOf();
      logger.error('failed', { error });
      expect(lines).toHaveLength(1);
    },
  );

  it('is for people when text is wanted', () => {
    const { logger, lines } = linesOf({ format: 'text' });
    logger.info('stored', { path: '/a b', bytes: 7, list: [1] });
    const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    logger.error('failed', { error: new StoreError('unavailable', 'No answer.', { cause }) });
    expect(lines[0]).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} INFO {2}master: stored path="\/a b" bytes=7 list=\[1\]\n$/,
    );
    expect(lines[1]).toMatch(/ERROR master: failed error="No answer\."\n/);
    expect(lines[1]).toContain('caused by: connect ECONNREFUSED');
  });
});

describe('secrets', () => {
  const secret = 'hunter2-hunter2';
  it.each([
    { headers: { authorization: `Bearer ${secret}` } },
    { headers: { Authorization: secret, 'SHARD-KEY': secret, cookie: `a=${secret}` } },
    { headers: { 'set-cookie': [`a=${secret}`, secret] } },
    { clusterKey: secret },
    { deep: { deeper: [{ password: `${secret}"quoted\\` }] } },
    { environment: { DFS_CLUSTER_KEY: secret, SHARD_KEY: secret } },
    { url: `/blobs/1?node=2&signature=${secret}&name=x` },
    { url: `/fs/a?X-Amz-Signature=${secret}` },
    { path: `/api/v1/stream/a%3Fsignature=${secret}` },
    { path: `/api/v1/stream/a%3fdownload%3d1%26signature%3D${secret}%26x` },
    { databaseUrl: `postgres://user:${secret}@host/db` },
    { error: new Error(`connect to redis://:${secret}@host:6379 failed`) },
    { error: new Error('top', { cause: new Error(`sent Bearer ${secret} away`) }) },
    { error: Object.assign(new Error('x'), { config: { headers: { authorization: secret } } }) },
  ])('never reach a line (%#)', (fields) => {
    for (const format of ['json', 'text'] as const) {
      const { logger, lines } = linesOf({ format });
      logger.error(`with ?signature=${secret}`, fields);
      logger.child(fields).info('as fields of the logger');
      expect(lines).toHaveLength(2);
      expect(lines.join('')).not.toContain(secret);
    }
  });

  it('never reach a line with the id of an access key in an address, which stays', () => {
    const { logger, lines } = linesOf();
    const id = `dk${'a2'.repeat(9)}`;
    logger.info('request', { path: `/api/v1/keys/${id}.${'Ab-_'.repeat(10)}` });
    expect(lines[0]).toContain(`/api/v1/keys/${id}.[secret]"`);
  });

  it('leave the rest of the line as it was', () => {
    const { logger, first } = linesOf();
    logger.info('asked', {
      url: '/b?node=2&signature=abc&name=x y',
      authorization: 'Bearer abc',
      size: 7,
    });
    expect(first()).toMatchObject({
      url: '/b?node=2&signature=[secret]&name=x y',
      authorization: '[secret]',
      size: 7,
    });
  });
});

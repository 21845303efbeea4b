import { describe, expect, it } from 'vitest';
import { errorBodyOf, errorOfAnswer, httpStatusOf, StoreError, storeErrorKinds } from './errors.ts';

describe('an error across HTTP', () => {
  it.each(storeErrorKinds)('%s arrives as it was sent', (kind) => {
    const sent = new StoreError(kind, `Something ${kind}.`, { hint: 'Do this.' });
    const body = JSON.stringify(errorBodyOf(sent, 'request 1'));
    expect(JSON.parse(body).error.requestId).toBe('request 1');
    const received = errorOfAnswer(httpStatusOf[kind], body, '3');
    expect(received).toBeInstanceOf(StoreError);
    expect(received).toMatchObject({
      kind,
      message: sent.message,
      hint: 'Do this.',
      retryAfterSeconds: 3,
    });
  });

  it.each(storeErrorKinds)('%s has a status of an error', (kind) => {
    expect(httpStatusOf[kind]).toBeGreaterThanOrEqual(400);
    expect(httpStatusOf[kind]).toBeLessThan(600);
  });

  it.each([
    new Error('password=hunter2 at /etc/passwd'),
    new TypeError('x is not a function'),
    'a text',
    undefined,
    { kind: 'not-found', message: 'a lookalike' },
  ])('tells nothing of what is not ours (%#)', (error) => {
    const { code, message } = errorBodyOf(error).error;
    expect(code).toBe('internal');
    expect(message).toBe('Something failed inside the store.');
  });

  it('has no hint and no request id where there is none', () => {
    expect(errorBodyOf(new StoreError('corrupt', 'Bad.'))).toEqual({
      error: { code: 'corrupt', message: 'Bad.' },
    });
  });

  it('keeps its cause', () => {
    const cause = new Error('below');
    expect(new StoreError('internal', 'Above.', { cause }).cause).toBe(cause);
    expect('cause' in new StoreError('internal', 'Above.')).toBe(false);
  });
});

describe('an answer that is not in our words', () => {
  it.each([
    [400, 'invalid-request'],
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [404, 'not-found'],
    [405, 'method-not-allowed'],
    [409, 'conflict'],
    [410, 'expired'],
    [412, 'precondition-failed'],
    [413, 'too-large'],
    [415, 'unsupported-media-type'],
    [416, 'range-not-satisfiable'],
    [418, 'invalid-request'],
    [421, 'wrong-node'],
    [429, 'too-many-requests'],
    [499, 'cancelled'],
    [500, 'internal'],
    [502, 'unavailable'],
    [503, 'unavailable'],
    [504, 'unavailable'],
    [507, 'no-room'],
    [520, 'unavailable'],
  ])('speaks by its status %i: %s', (status, kind) => {
    expect(errorOfAnswer(status, '<h1>Oops</h1>').kind).toBe(kind);
  });

  it.each([
    '',
    'null',
    '[]',
    '"text"',
    '7',
    '{',
    '{}',
    '{"error":null}',
    '{"error":"not-found"}',
    '{"error":{}}',
    '{"error":{"code":"not-found"}}',
    '{"error":{"code":"not-found","message":7}}',
    '{"error":{"code":"not-found","message":"m","hint":{}}}',
    '{"error":{"code":"constructor","message":"m"}}',
    '{"error":{"code":["not-found"],"message":"m"}}',
  ])('does not trip over the body %j', (body) => {
    expect(errorOfAnswer(502, body)).toMatchObject({
      kind: 'unavailable',
      message: 'The server answered 502.',
    });
  });

  it.each([
    ['0', 0],
    ['120', 120],
    [' 5 ', 5],
    [undefined, undefined],
    ['', undefined],
    ['-1', undefined],
    ['1.5', undefined],
    ['Infinity', undefined],
    ['Wed, 21 Oct 2026 07:28:00 GMT', undefined],
    ['99999999999999999999', undefined],
  ])('with Retry-After %j asks to wait %j s', (header, seconds) => {
    expect(errorOfAnswer(503, '', header).retryAfterSeconds).toBe(seconds);
  });
});

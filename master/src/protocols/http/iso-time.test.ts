import { expect, it } from 'vitest';
import { parseIsoTime } from './iso-time.ts';

it.each([
  ['1970-01-01T00:00:00Z', 0],
  ['1969-12-31T23:59:59.999Z', -1],
  ['2026-11-25T02:16:21.500Z', 1_795_572_981_500],
  ['2026-11-25T04:16:21.500+02:00', 1_795_572_981_500],
  ['2026-11-25t02:16:21.500999999z', 1_795_572_981_500],
  ['2024-02-29T00:00:00Z', 1_709_164_800_000],
])('%s is %i ms', (text, ms) => {
  expect(parseIsoTime(text, 'modified')).toBe(ms);
});

it.each([
  '',
  'now',
  '1795572981',
  '2026-11-25',
  '2026-11-25T02:16:21',
  '2026-11-25 02:16:21Z',
  '2026-02-29T00:00:00Z',
  '2026-13-01T00:00:00Z',
  '2026-11-25T25:00:00Z',
  'Wed, 25 Nov 2026 02:16:21 GMT',
  '2026-11-25T02:16:21Z; x',
])('%j is no time', (text) => {
  expect(() => parseIsoTime(text, 'modified')).toThrow('modified holds no date and time.');
});

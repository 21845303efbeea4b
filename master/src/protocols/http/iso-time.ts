import { StoreError } from '@dfs/shared';

/** A date and a time with its zone (RFC 3339); without one it would mean another moment on each machine. */
const isoTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/i;

/** The moment that a text such as `2026-11-25T02:16:21.500Z` names, in ms. Rejects with `invalid-request`, naming the field. */
export function parseIsoTime(text: string, field: string): number {
  const ms = isoTime.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(ms) && isRealDay(text)) return ms;
  throw new StoreError('invalid-request', `${field} holds no date and time.`, {
    hint: 'Write it as ISO 8601 with its zone, such as 2026-11-25T02:16:21.500Z.',
  });
}

/** The 30th of February would be taken for a day of March. */
function isRealDay(text: string): boolean {
  const day = text.slice(0, 10);
  return new Date(`${day}T00:00:00Z`).toISOString().startsWith(day);
}

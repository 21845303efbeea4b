import { StoreError } from '@dfs/shared';

const unitsMs: Readonly<Record<string, number>> = {
  second: 1_000,
  sec: 1_000,
  minute: 60_000,
  min: 60_000,
  hour: 3_600_000,
  day: 86_400_000,
  week: 604_800_000,
};

const dayWords: Readonly<Record<string, number>> = { yesterday: -1, today: 0, tomorrow: 1 };

/**
 * A moment as people write it to touch and find: ISO 8601 (in the local time zone without one), `@` with Unix seconds, `now`, `yesterday`, `3 days ago`.
 * Throws `invalid-request`.
 */
export function momentOf(text: string, now: Date): Date {
  const asked = text.trim().toLowerCase();
  const moment = relativeTo(asked, now) ?? absolute(text.trim());
  if (moment && !Number.isNaN(moment.getTime())) return moment;
  throw new StoreError('invalid-request', `invalid date ${JSON.stringify(text)}`, {
    hint: 'Write 2026-11-25, "2026-11-25 14:30", 2026-11-25T14:30:00Z, @1795617000, now, yesterday or "3 days ago".',
  });
}

function relativeTo(asked: string, now: Date): Date | undefined {
  if (asked === 'now') return now;
  const days = dayWords[asked];
  if (days !== undefined) {
    const moment = new Date(now);
    moment.setDate(moment.getDate() + days);
    return moment;
  }
  const [, sign, count, unit = '', ago] =
    /^([+-])?\s*(\d{1,9})\s*([a-z]+?)s?(\s+ago)?$/.exec(asked) ?? [];
  if (count === undefined) return undefined;
  const direction = (sign === '-' ? -1 : 1) * (ago === undefined ? 1 : -1);
  const amount = direction * Number(count);
  if (unit === 'month' || unit === 'year') {
    const moment = new Date(now);
    if (unit === 'month') moment.setMonth(moment.getMonth() + amount);
    else moment.setFullYear(moment.getFullYear() + amount);
    return moment;
  }
  const unitMs = unitsMs[unit];
  return unitMs === undefined ? undefined : new Date(now.getTime() + amount * unitMs);
}

function absolute(text: string): Date | undefined {
  const seconds = /^@(-?\d+(?:\.\d+)?)$/.exec(text)?.[1];
  if (seconds !== undefined) return new Date(Number(seconds) * 1_000);
  const [, day, time = '00:00', zone = ''] =
    /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?))?\s*(Z|[+-]\d{2}:?\d{2})?$/i.exec(
      text,
    ) ?? [];
  if (day === undefined) return undefined;
  const moment = new Date(`${day}T${time}${zone.replace(/^([+-]\d{2})(\d{2})$/, '$1:$2')}`);
  // Day 31 of a short month is no day of the next.
  return zone !== '' || moment.getDate() === Number(day.slice(8)) ? moment : undefined;
}

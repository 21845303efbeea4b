import { expect, it } from 'vitest';
import { Cache } from './cache.ts';

/** Loads a key with a read that ends when told to. */
function slowLoad(cache: Cache<string, string>, key: string) {
  let answer: (value: string | undefined) => void = () => {};
  const read = new Promise<string | undefined>((resolve) => {
    answer = resolve;
  });
  const loaded = cache.load([key], async () => {
    const value = await read;
    return value === undefined ? [] : [[key, value] as const];
  });
  return { answer: (value: string | undefined) => answer(value), loaded };
}

const never = async (): Promise<never> => {
  throw new Error('A kept value is not read.');
};

it('keeps what it read', async () => {
  const cache = new Cache<string, string>(10);
  const { answer, loaded } = slowLoad(cache, 'a');
  answer('1');
  expect([...(await loaded)]).toEqual([['a', '1']]);
  expect([...(await cache.load(['a'], never))]).toEqual([['a', '1']]);
});

it.each<[string, (cache: Cache<string, string>) => void, string | undefined]>([
  ['set', (cache) => cache.set('a', 'new'), 'new'],
  ['deleted', (cache) => cache.delete('a'), undefined],
  ['forgotten with all', (cache) => cache.clear(), undefined],
])(
  'does not keep a read that began before the value was %s and ended after',
  async (_, change, kept) => {
    const cache = new Cache<string, string>(10);
    const { answer, loaded } = slowLoad(cache, 'a');
    change(cache);
    answer('old');
    await loaded;
    expect(cache.get('a')).toBe(kept);
  },
);

it('keeps a read that began after the change, also beside an older one', async () => {
  const cache = new Cache<string, string>(10);
  const older = slowLoad(cache, 'a');
  cache.delete('a');
  const newer = slowLoad(cache, 'a');
  newer.answer('new');
  await newer.loaded;
  older.answer('old');
  await older.loaded;
  expect(cache.get('a')).toBe('new');
});

it('keeps nothing of a read that failed, and reads again', async () => {
  const cache = new Cache<string, string>(10);
  await expect(cache.load(['a'], never)).rejects.toThrow();
  const { answer, loaded } = slowLoad(cache, 'a');
  answer('1');
  await loaded;
  expect(cache.get('a')).toBe('1');
});

it('stays within its weight, and keeps what is asked for again and again', () => {
  const cache = new Cache<number, string>(100, (value) => value.length);
  cache.set(-1, 'hot');
  for (let n = 0; n < 1_000; n += 1) {
    cache.set(n, 'x'.repeat(1 + (n % 9)));
    expect(cache.get(-1)).toBe('hot');
  }
  let weight = 0;
  for (let n = -1; n < 1_000; n += 1) weight += cache.get(n)?.length ?? 0;
  expect(weight).toBeLessThanOrEqual(100);
  expect(cache.get(999)).toBeDefined();
});

it('does not let one value push out all others', () => {
  const cache = new Cache<string, string>(100, (value) => value.length);
  cache.set('small', 'x');
  cache.set('huge', 'x'.repeat(101));
  expect(cache.get('huge')).toBeUndefined();
  expect(cache.get('small')).toBe('x');
});

it('counts the weight of a value that is set again once', () => {
  const cache = new Cache<string, string>(20);
  for (let n = 0; n < 100; n += 1) cache.set('a', `${n}`);
  cache.set('b', '1');
  expect([cache.get('a'), cache.get('b')]).toEqual(['99', '1']);
});

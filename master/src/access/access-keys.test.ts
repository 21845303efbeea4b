import { type FilePath, StoreError } from '@dfs/shared';
import { FakeClock, recordingLogger } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { AccessKeys } from './access-keys.ts';
import { parseAccessKey } from './credentials.ts';
import { MemoryAccessKeyRows } from './testing/memory-access-key-rows.ts';

/** The keys of a process over rows that outlive it. */
function start(options: { keys?: readonly string[]; metadata?: MemoryAccessKeyRows } = {}) {
  const { metadata = new MemoryAccessKeyRows() } = options;
  const ring = { keys: options.keys ?? ['one'], onChange: () => {} };
  const world = { recovery: undefined as string | undefined, isConfirmed: true };
  const { logger, lines } = recordingLogger();
  const keys = new AccessKeys({
    metadata,
    keyring: {
      all: () => ring.keys,
      onChange: (listener) => {
        ring.onChange = listener;
        return () => {};
      },
    },
    recovery: () => world.recovery,
    isConfirmed: () => world.isConfirmed,
    clock: new FakeClock(5_000),
    logger,
  });
  return {
    ...{ keys, metadata, world, lines },
    turnTo: (...all: string[]) => {
      ring.keys = all;
      ring.onChange();
    },
    opens: (text: string) => {
      const parsed = parseAccessKey(text);
      expect(parsed).toBeDefined();
      return parsed && keys.find(parsed);
    },
  };
}

const wanted = { name: 'backup', role: 'write', prefix: '/docs' as FilePath } as const;
const kindOf = (error: unknown) => (error as StoreError).kind;
const fingerprintsIn = ({ rows }: MemoryAccessKeyRows) =>
  new Set([...rows.values()].map(({ secret }) => secret.split('.')[1]));

describe('access keys', () => {
  it('open what they were made for, after a start too, and nothing once they are removed', async () => {
    const { keys, metadata, opens } = start();
    const { key, text } = await keys.add(wanted);
    const principal = { kind: 'key', id: key.id, role: 'write', prefix: '/docs' };
    expect(opens(text)).toEqual(principal);
    expect(keys.list()).toEqual([{ ...wanted, id: key.id, createdAtMs: 5_000, isUsable: true }]);
    const again = start({ metadata });
    expect(again.opens(text)).toBeUndefined();
    await again.keys.step();
    expect(again.opens(text)).toEqual(principal);
    expect(again.keys.list()).toEqual(keys.list());
    expect(await keys.remove(key.id)).toBe(true);
    expect(await keys.remove(key.id)).toBe(false);
    expect(opens(text)).toBeUndefined();
    expect(keys.list()).toEqual([]);
  });

  it('open nothing with another secret, nor with that of another key', async () => {
    const { keys, opens } = start();
    const [one, other] = [await keys.add(wanted), await keys.add(wanted)];
    const secretOf = (text: string) => text.split('.')[1];
    expect(opens(`${one.key.id}.${secretOf(other.text)}`)).toBeUndefined();
    expect(opens(`${one.key.id}.${'A'.repeat(40)}`)).toBeUndefined();
    expect(opens(`dk${'a'.repeat(18)}.${secretOf(one.text)}`)).toBeUndefined();
  });

  it('are stored so that nobody can read their secret, and told nowhere else', async () => {
    const { keys, metadata, lines } = start();
    const { text } = await keys.add(wanted);
    const [id, secret] = text.split('.') as [string, string];
    const stored = JSON.stringify([...metadata.rows.values(), keys.list(), keys.get(id), lines]);
    expect(stored).toContain(id);
    expect(stored).not.toContain(secret);
  });

  it('outlive a change of the cluster key in its three steps, without a moment in which they do not count', async () => {
    const { keys, metadata, opens, turnTo } = start();
    const { text } = await keys.add(wanted);
    const [before] = fingerprintsIn(metadata);
    turnTo('one', 'two');
    await keys.step();
    expect(fingerprintsIn(metadata)).toEqual(new Set([before]));
    turnTo('two', 'one');
    expect(opens(text)).toBeDefined();
    await keys.step();
    expect(fingerprintsIn(metadata)).not.toContain(before);
    turnTo('two');
    await keys.step();
    expect(opens(text)).toBeDefined();
    const after = start({ metadata, keys: ['two'] });
    await after.keys.step();
    expect(after.opens(text)).toBeDefined();
  });

  it('are sealed again at a start, once the database is known to be the right one', async () => {
    const first = start();
    const { text } = await first.keys.add(wanted);
    const before = fingerprintsIn(first.metadata);
    const { keys, metadata, world, opens } = start({
      metadata: first.metadata,
      keys: ['two', 'one'],
    });
    world.isConfirmed = false;
    await keys.step();
    expect(opens(text)).toBeDefined();
    expect(fingerprintsIn(metadata)).toEqual(before);
    world.isConfirmed = true;
    world.recovery = 'The database is old.';
    await keys.step();
    expect(fingerprintsIn(metadata)).toEqual(before);
    world.recovery = undefined;
    await keys.step();
    expect(fingerprintsIn(metadata)).not.toEqual(before);
    expect(opens(text)).toBeDefined();
  });

  it('are sealed again under a key that came too late to open them, as long as the process lives', async () => {
    const { keys, metadata, opens, turnTo } = start();
    const { text } = await keys.add(wanted);
    turnTo('three');
    await keys.step();
    expect(opens(text)).toBeDefined();
    const after = start({ metadata, keys: ['three'] });
    await after.keys.step();
    expect(after.opens(text)).toBeDefined();
  });

  it('that no key opens stay, open nothing, and are told once', async () => {
    const first = start();
    const { key, text } = await first.keys.add(wanted);
    const { keys, metadata, opens, lines, turnTo } = start({
      metadata: first.metadata,
      keys: ['two'],
    });
    await keys.step();
    turnTo('two', 'four');
    await keys.step();
    expect(opens(text)).toBeUndefined();
    expect(keys.get(key.id)).toMatchObject({ isUsable: false });
    expect(metadata.rows.size).toBe(1);
    const warnings = lines.filter(({ level }) => level === 'warn');
    expect(warnings).toHaveLength(1);
    expect(warnings[0]?.fields).toMatchObject({ keyId: key.id });
    turnTo('two', 'one');
    await keys.step();
    expect(opens(text)).toBeDefined();
  });

  it('do not count while the database cannot be believed, nor after a restore until it was read', async () => {
    const { keys, world, opens } = start();
    const { text } = await keys.add(wanted);
    world.recovery = 'The database is empty.';
    expect(() => opens(text)).toThrow(StoreError);
    expect(() => opens(`dk${'a'.repeat(18)}.${'A'.repeat(40)}`)).toThrow('The database is empty.');
    world.recovery = undefined;
    keys.replaced();
    expect(() => opens(text)).toThrow('restored');
    await keys.step();
    expect(opens(text)).toBeDefined();
  });

  it('are none in a cluster without a cluster key', async () => {
    const { keys, metadata } = start({ keys: [] });
    await expect(keys.add(wanted)).rejects.toSatisfy((error) => kindOf(error) === 'conflict');
    expect(metadata.rows.size).toBe(0);
  });

  it('are read again after a change whose outcome is unknown', async () => {
    const { keys, metadata, opens } = start();
    const { key, text } = await keys.add(wanted);
    metadata.failure = new Error('The connection was lost.');
    await expect(keys.remove(key.id)).rejects.toThrow('lost');
    expect(opens(text)).toBeDefined();
    await keys.step();
    expect(opens(text)).toBeUndefined();
  });

  it('do not come back by a reading that began before they were removed', async () => {
    const { keys, metadata, opens } = start();
    const { key, text } = await keys.add(wanted);
    const list = metadata.listAccessKeys.bind(metadata);
    let goOn: () => void = () => {};
    metadata.listAccessKeys = async () => {
      const rows = await list();
      await new Promise<void>((resolve) => {
        goOn = resolve;
      });
      return rows;
    };
    keys.replaced();
    const reading = keys.step();
    const removal = keys.remove(key.id);
    await new Promise(setImmediate);
    goOn();
    await Promise.all([reading, removal]);
    expect(opens(text)).toBeUndefined();
    expect(keys.list()).toEqual([]);
  });
});

import { describe, expect, it } from 'vitest';
import { openSecret, sealingKeyOf, sealSecret } from './sealed-secret.ts';

const [first, second] = [sealingKeyOf('the first key'), sealingKeyOf('the second key')];

describe('a sealed secret', () => {
  it('opens with its key alone, whichever place that has', () => {
    const sealed = sealSecret('geheim ü', 'dk1', first);
    const opened = { kind: 'secret', secret: 'geheim ü', sealedWith: first.fingerprint };
    expect(openSecret(sealed, 'dk1', [first])).toEqual(opened);
    expect(openSecret(sealed, 'dk1', [second, first])).toEqual(opened);
    expect(openSecret(sealed, 'dk1', [second])).toEqual({ kind: 'no-key' });
    expect(openSecret(sealed, 'dk1', [])).toEqual({ kind: 'no-key' });
  });

  it('tells nothing of what is in it, nor whether two are the same', () => {
    const [one, other] = [sealSecret('same', 'dk1', first), sealSecret('same', 'dk1', first)];
    expect(one).not.toBe(other);
    expect(one).toMatch(/^v1\.[\w-]{8}\.[\w-]{16}\.[\w-]+$/);
    expect(Buffer.from(one.split('.')[3] as string, 'base64url').includes('same')).toBe(false);
  });

  it('does not open for another owner', () => {
    const sealed = sealSecret('secret', 'dk1', first);
    expect(openSecret(sealed, 'dk2', [first])).toEqual({ kind: 'damaged' });
  });

  it('is damaged by any change', () => {
    const sealed = sealSecret('secret', 'dk1', first);
    const parts = sealed.split('.');
    for (const part of [2, 3]) {
      const bytes = Buffer.from(parts[part] as string, 'base64url');
      for (let at = 0; at < bytes.length; at += 1) {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] as number) ^ 1;
        const text = parts.with(part, changed.toString('base64url')).join('.');
        expect(openSecret(text, 'dk1', [first]), text).toEqual({ kind: 'damaged' });
      }
    }
  });

  it.each(['', 'secret', 'v2.a.b.c', 'v1', 'v1.....', 'v1.a.b.c.d', 'v1.....'])(
    'is none: %j',
    (text) => {
      expect(openSecret(text, 'dk1', [first])).toEqual({ kind: 'damaged' });
    },
  );
});

import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

const algorithm = 'aes-256-gcm';
const nonceBytes = 12;
const tagBytes = 16;

/** What secrets are sealed with, derived from a cluster key (HKDF, RFC 5869), so that neither it nor its fingerprint gives anything of that key away. */
export interface SealingKey {
  readonly key: Buffer;
  /** Stands in each sealed text: tells whether this key opens it. */
  readonly fingerprint: string;
}

export const sealingKeyOf = (clusterKey: string): SealingKey => ({
  key: derive(clusterKey, 'dfs seal v1', 32),
  fingerprint: derive(clusterKey, 'dfs seal fingerprint v1', 6).toString('base64url'),
});

const derive = (clusterKey: string, purpose: string, bytes: number) =>
  Buffer.from(hkdfSync('sha256', clusterKey, '', purpose, bytes));

/** What became of opening a sealed text. `no-key`: it was sealed with none of the keys at hand. `damaged`: it is not as it was sealed, or was not for this owner. */
export type Opened =
  | { readonly kind: 'secret'; readonly secret: string; readonly sealedWith: string }
  | { readonly kind: 'no-key' }
  | { readonly kind: 'damaged' };

/** A secret as it may be stored: `v1.<fingerprint>.<nonce>.<ciphertext and tag>` (AES-256-GCM). It opens for the same owner only, so that sealed texts cannot change places. */
export function sealSecret(secret: string, owner: string, sealing: SealingKey): string {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv(algorithm, sealing.key, nonce, { authTagLength: tagBytes });
  cipher.setAAD(Buffer.from(owner));
  const sealed = Buffer.concat([
    cipher.update(secret, 'utf8'),
    cipher.final(),
    cipher.getAuthTag(),
  ]);
  return [
    'v1',
    sealing.fingerprint,
    nonce.toString('base64url'),
    sealed.toString('base64url'),
  ].join('.');
}

/** Opens a sealed text with the one of these keys that fits. Pure. */
export function openSecret(text: string, owner: string, keys: readonly SealingKey[]): Opened {
  const [version, fingerprint, nonceText = '', sealedText = '', ...more] = text.split('.');
  const nonce = Buffer.from(nonceText, 'base64url');
  const sealed = Buffer.from(sealedText, 'base64url');
  const isWhole = nonce.length === nonceBytes && sealed.length >= tagBytes && more.length === 0;
  if (version !== 'v1' || !isWhole) return { kind: 'damaged' };
  const fitting = keys.find((key) => key.fingerprint === fingerprint);
  if (!fitting) return { kind: 'no-key' };
  try {
    const decipher = createDecipheriv(algorithm, fitting.key, nonce, { authTagLength: tagBytes });
    decipher.setAAD(Buffer.from(owner));
    decipher.setAuthTag(sealed.subarray(-tagBytes));
    const secret = Buffer.concat([
      decipher.update(sealed.subarray(0, -tagBytes)),
      decipher.final(),
    ]);
    return { kind: 'secret', secret: secret.toString('utf8'), sealedWith: fitting.fingerprint };
  } catch {
    return { kind: 'damaged' };
  }
}

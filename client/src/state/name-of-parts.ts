import { createHash } from 'node:crypto';

/** A name for what is known of these things together, whatever characters they hold. */
export const nameOfParts = (...parts: readonly string[]) =>
  createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 32);

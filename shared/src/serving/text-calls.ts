import type { StoreError } from '../errors.ts';

/** The calls of `/api/v1` that speak plain text; of most of them it does not matter which. */
export type TextCall = 'store' | 'other';

const names =
  'store|stream|download|presign|ipv4access|registered_instances|cache|shard_cache|delete|delete_cache|information|logs|register';
const pattern = new RegExp(`^/api/v1/(${names})(?:/|$)`);

/** Which of those calls a path is of; undefined for all others. */
export function textCallOf(path: string): TextCall | undefined {
  const name = pattern.exec(path)?.[1];
  if (name === undefined) return undefined;
  return name === 'store' ? name : 'other';
}

/** What a refused one answers: one readable line, and of `store` the words that its users know. */
export function refusalTextOf({ kind, message, hint }: StoreError, call: TextCall): string {
  const line = hint === undefined ? message : `${message} ${hint}`;
  if (kind !== 'unauthorized') return line;
  return call === 'store' ? 'Denied' : `Denied: ${line}`;
}

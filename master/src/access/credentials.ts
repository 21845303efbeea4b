import type { IncomingHttpHeaders } from 'node:http';
import { keyOfHeaders } from '@dfs/shared';

/** What a request sends to prove who made it. `unreadable`: it means to prove something, but not in a way that we know, or in two that differ. */
export type Credentials =
  | { readonly kind: 'none' }
  | { readonly kind: 'unreadable' }
  | { readonly kind: 'key'; readonly key: string };

/** An access key as it is sent: its id, a dot, its secret. */
export interface AccessKeyText {
  readonly id: string;
  readonly secret: string;
}

/** The key in `SHARD-KEY`, in `Authorization: Bearer`, or, an access key, in `Authorization: Basic` with its id as the user. Pure. */
export function credentialsOf(headers: IncomingHttpHeaders): Credentials {
  const { authorization } = headers;
  const shardKey = headers['shard-key'];
  if (authorization === undefined && shardKey === undefined) return { kind: 'none' };
  const basic = /^\s*Basic\s+([A-Za-z0-9+/=_-]+)\s*$/i.exec(authorization ?? '')?.[1];
  if (basic === undefined) return keyOrUnreadable(keyOfHeaders(headers));
  const userAndPassword = Buffer.from(basic, 'base64').toString('utf8');
  const colon = userAndPassword.indexOf(':');
  if (colon < 0) return { kind: 'unreadable' };
  const key = `${userAndPassword.slice(0, colon)}.${userAndPassword.slice(colon + 1)}`;
  if (shardKey !== undefined && String(shardKey).trim() !== key) return { kind: 'unreadable' };
  return { kind: 'key', key };
}

const keyOrUnreadable = (key: string | undefined): Credentials =>
  key === undefined ? { kind: 'unreadable' } : { kind: 'key', key };

/** Undefined for what has not the form of an access key. Pure. */
export function parseAccessKey(text: string): AccessKeyText | undefined {
  const parts = /^(dk[a-z2-7]{18})\.([A-Za-z0-9_-]{40})$/.exec(text);
  return parts ? { id: parts[1] as string, secret: parts[2] as string } : undefined;
}

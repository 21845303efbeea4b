import type { IncomingHttpHeaders } from 'node:http';
import { StoreError } from '@dfs/shared';

/**
 * The MD5 that a sender gives for its bytes, lower-case hex: `Content-MD5` in base64 (RFC 1864) or `X-DFS-MD5` in hex, among headers or trailers.
 * Undefined when there is none. Rejects with `invalid-request` when one is malformed or the two differ.
 */
export function readMd5(fields: IncomingHttpHeaders | NodeJS.Dict<string>): string | undefined {
  const hex = fields['x-dfs-md5'];
  const base64 = fields['content-md5'];
  const fromHex = typeof hex === 'string' ? parseHexMd5('X-DFS-MD5', hex) : undefined;
  const fromBase64 = typeof base64 === 'string' ? parseBase64Md5(base64) : undefined;
  return oneOf(fromHex, fromBase64);
}

/** The MD5 of header and trailer; rejects with `invalid-request` when both are there and differ. */
export function oneOf(first: string | undefined, second: string | undefined): string | undefined {
  if (first !== undefined && second !== undefined && first !== second) {
    throw new StoreError('invalid-request', 'The request gives two different MD5s for its body.', {
      hint: 'Send one of Content-MD5 and X-DFS-MD5, once.',
    });
  }
  return first ?? second;
}

export function parseHexMd5(name: string, text: string): string {
  const hex = text.trim().toLowerCase();
  if (/^[0-9a-f]{32}$/.test(hex)) return hex;
  throw malformed(name, '32 hexadecimal digits');
}

function parseBase64Md5(text: string): string {
  const base64 = text.trim();
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.length === 16 && bytes.toString('base64') === base64) return bytes.toString('hex');
  throw malformed('Content-MD5', 'the 16 bytes of an MD5 in base64');
}

const malformed = (name: string, wanted: string) =>
  new StoreError('invalid-request', `${name} holds no MD5.`, { hint: `Write ${wanted}.` });

/** Whether the sender announced that the MD5 follows its body. */
export function isMd5Announced(headers: IncomingHttpHeaders): boolean {
  const names = (headers['trailer'] ?? '').toLowerCase().split(/[\s,]+/);
  return names.includes('x-dfs-md5') || names.includes('content-md5');
}

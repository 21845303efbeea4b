import type { IncomingHttpHeaders } from 'node:http';
import { StoreError } from '../errors.ts';

/** User attributes travel as headers of this prefix and are kept with the content. */
const prefix = 'x-dfs-meta-';

const attributesMax = 32;
const nameMaxLength = 64;
/** Names and values together, in UTF-8. */
const totalMaxBytes = 4_096;

const refuse = (message: string, hint: string) =>
  new StoreError('invalid-request', message, { hint });

/** The attributes in `X-DFS-Meta-*` headers, by lower-case name. Rejects with `invalid-request` past a limit. */
export function readAttributes(headers: IncomingHttpHeaders): Record<string, string> | undefined {
  const attributes: Record<string, string> = {};
  let count = 0;
  let totalBytes = 0;
  for (const header in headers) {
    if (!header.startsWith(prefix)) continue;
    const name = header.slice(prefix.length);
    const value = textOf(String(headers[header]));
    if (name === '' || name.length > nameMaxLength) {
      throw refuse(
        `The name of the attribute header ${header.slice(0, 100)} is empty or too long.`,
        `Use 1 to ${nameMaxLength} characters after X-DFS-Meta-.`,
      );
    }
    count += 1;
    totalBytes += name.length + Buffer.byteLength(value);
    attributes[name] = value;
  }
  if (count > attributesMax || totalBytes > totalMaxBytes) {
    throw refuse(
      `The request carries ${count} attributes of ${totalBytes} bytes in all.`,
      `Send at most ${attributesMax} attributes of ${totalMaxBytes} bytes together.`,
    );
  }
  return count === 0 ? undefined : attributes;
}

/** The headers that give them back. */
export function attributeHeaders(attributes: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(attributes).map(([name, value]) => [
    `X-DFS-Meta-${name}`,
    Buffer.from(value).toString('latin1'),
  ]);
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** A header's bytes come one character each; they are UTF-8 where they can be. */
function textOf(value: string): string {
  const bytes = Buffer.from(value, 'latin1');
  try {
    return utf8.decode(bytes);
  } catch {
    // Latin-1 then, as headers once were.
    return value;
  }
}

import { StoreError } from '@dfs/shared';
import type { Exchange } from '../http/exchange.ts';
import type { Front } from '../http/front.ts';
import { RequestBody } from '../http/request-body.ts';

/** Bodies here name a few things. */
const bodyMaxBytes = 1024 * 1024;

/** The JSON object that a request carries; no body stands for an empty one. Rejects with `invalid-request`, `unsupported-media-type`, `too-large`, `incomplete-body`. */
export async function readJson(
  { config }: Pick<Front, 'config'>,
  exchange: Exchange,
): Promise<Readonly<Record<string, unknown>>> {
  const { headers } = exchange.request;
  const type = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  // A form is what a page of another site can make a browser send without asking.
  if (type !== undefined && type !== 'application/json') {
    throw new StoreError('unsupported-media-type', 'The body is not said to be JSON.', {
      hint: 'Send it with "Content-Type: application/json".',
    });
  }
  if (Number(headers['content-length'] ?? 0) > bodyMaxBytes) throw tooLarge();
  exchange.inviteBody();
  const body = new RequestBody(exchange.request, { idleMs: config.uploadIdleMs });
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      sizeBytes += chunk.byteLength;
      if (sizeBytes > bodyMaxBytes) throw tooLarge();
      chunks.push(chunk);
    }
  } finally {
    body.destroy();
  }
  return sizeBytes === 0 ? {} : parseObject(Buffer.concat(chunks));
}

const tooLarge = () =>
  new StoreError('too-large', `The body is longer than ${bodyMaxBytes} bytes.`, {
    hint: 'Send less at once.',
  });

const utf8 = new TextDecoder('utf-8', { fatal: true });

function parseObject(bytes: Buffer): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(bytes));
  } catch (cause) {
    throw new StoreError('invalid-request', 'The body is no JSON in UTF-8.', { cause });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw new StoreError('invalid-request', 'The body is JSON, but no object.');
}

type TypeOf = { readonly string: string; readonly boolean: boolean; readonly number: number };

/** A field of such an object; absent and undefined are one. Rejects with `invalid-request` for another type, naming the field. */
export function fieldOf<T extends keyof TypeOf>(
  body: Readonly<Record<string, unknown>>,
  name: string,
  type: T,
): TypeOf[T] | undefined {
  const value = body[name];
  if (value === undefined || typeof value === type) return value as TypeOf[T] | undefined;
  throw new StoreError('invalid-request', `The field ${name} is no ${type}.`);
}

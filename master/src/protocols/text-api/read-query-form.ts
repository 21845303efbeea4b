import { type FilePath, StoreError } from '@dfs/shared';
import express, { type Request } from 'express';
import type { Exchange } from '../http/exchange.ts';
import type { Front } from '../http/front.ts';
import { type FormFields, receiveForm, textsOf } from '../http/receive-form.ts';
import { RequestBody } from '../http/request-body.ts';
import { parseReference } from './reference.ts';

export interface QueryForm {
  readonly path: FilePath;
  /** The reference as it was sent. */
  readonly reference: string;
  /** The text of the field `priority`. */
  readonly priority: string | undefined;
}

const fieldNames: ReadonlySet<string | undefined> = new Set(['query_string', 'priority']);
const urlencoded = express.urlencoded({ extended: false, limit: '16kb' });

/** The fields of a call that is about one file: a form of either kind with `query_string`, its reference. Rejects with `invalid-request` and `invalid-path`. */
export async function readQueryForm(
  front: Front,
  exchange: Exchange,
  request: Request,
): Promise<QueryForm> {
  exchange.inviteBody();
  const fields = await readFields(front, exchange, request);
  const reference = textsOf(fields, 'query_string').at(-1)?.trim();
  if (reference === undefined) {
    throw new StoreError('invalid-request', 'Missing parameter query_string');
  }
  const { path } = parseReference(reference);
  return { path, reference, priority: textsOf(fields, 'priority').at(-1)?.trim() };
}

async function readFields(
  { config }: Front,
  exchange: Exchange,
  request: Request,
): Promise<FormFields> {
  if (!request.is('multipart/form-data')) {
    await new Promise<void>((resolve, reject) => {
      urlencoded(request, request.res as never, (error: unknown) =>
        error ? reject(error) : resolve(),
      );
    });
    return (request.body ?? {}) as FormFields;
  }
  const body = new RequestBody(exchange.request, { idleMs: config.uploadIdleMs });
  try {
    return await receiveForm(request, body, {
      isWanted: (name) => fieldNames.has(name),
      takeFile: async ({ fieldName }) => {
        throw new StoreError('invalid-request', `The field ${fieldName} is no file.`);
      },
    });
  } finally {
    body.destroy();
  }
}

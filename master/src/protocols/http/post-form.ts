import { childOf, type FormAnswer, StoreError } from '@dfs/shared';
import type { Request } from 'express';
import { fsUrlOf, putAnswerOf } from './answers.ts';
import type { Exchange } from './exchange.ts';
import { type FormSettings, FormUpload } from './form-upload.ts';
import { checkServing, type Front, filesMount, pathUnder } from './front.ts';
import { parseMode, parseOnConflict } from './put-request.ts';
import { type FormFields, textsOf } from './receive-form.ts';
import { RequestBody } from './request-body.ts';
import { sendJson } from './send.ts';

/**
 * `POST /fs/<directory>/`: a form with files, each stored under the name that it was sent with. Fields `md5`, `onConflict` (by default both are kept) and `mode`
 * may come in any order. Answers JSON, and sends browsers back to the listing.
 */
export async function postForm(front: Front, exchange: Exchange, request: Request): Promise<void> {
  const { files, access, config, nodes } = front;
  const { query } = exchange;
  const { path: directory } = pathUnder(filesMount, exchange);
  access.authorize(exchange.principal, 'write', { path: directory });
  checkServing(nodes);
  if (!request.is('multipart/form-data')) {
    throw new StoreError('invalid-request', 'A POST to a directory carries no form.', {
      hint: 'Send multipart/form-data, or PUT the bytes to the path of the file.',
    });
  }
  const upload = new FormUpload({
    files,
    pathOf: (name) => childOf(directory, name),
    onConflict: parseOnConflict(query.get('onConflict') ?? undefined) ?? 'rename',
    isPublic: parseMode(query.get('mode') ?? undefined),
    signal: exchange.signal,
    readFields,
  });
  exchange.inviteBody();
  const body = new RequestBody(exchange.request, { idleMs: config.uploadIdleMs });
  try {
    const outcomes = await upload.store(request, body);
    const answer: FormAnswer = { files: outcomes.map(({ info }) => putAnswerOf(info)) };
    if (request.accepts(['json', 'html']) !== 'html') return sendJson(exchange, 201, answer);
    const listing = `${fsUrlOf(directory).replace(/\/$/, '')}/`;
    exchange.response.writeHead(303, {
      Location: listing,
      'Content-Length': 0,
      'X-Request-Id': exchange.id,
    });
    exchange.response.end();
  } finally {
    body.destroy();
  }
}

const readFields = (fields: FormFields): FormSettings => ({
  onConflict: parseOnConflict(textsOf(fields, 'onConflict').at(-1)),
  isPublic: parseMode(textsOf(fields, 'mode').at(-1)),
});

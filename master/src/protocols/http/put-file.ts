import { parentOf, StoreError } from '@dfs/shared';
import { etagOf } from '@dfs/shared/serving';
import { fsUrlOf, putAnswerOf } from './answers.ts';
import { isMd5Announced, oneOf, readMd5 } from './body-digest.ts';
import { writeConditionOf } from './conditions.ts';
import type { Exchange } from './exchange.ts';
import { checkServing, type Front, filesMount, pathUnder } from './front.ts';
import { readPutParameters } from './put-request.ts';
import { RequestBody } from './request-body.ts';
import { sendJson } from './send.ts';

/** `PUT /fs/<path>`: stores the body under the path. Rejects before the body is read with whatever can be judged without it. */
export async function putFile(front: Front, exchange: Exchange): Promise<void> {
  const { files, access, config, nodes } = front;
  const { headers } = exchange.request;
  const { path, isDirectory } = pathUnder(filesMount, exchange);
  access.authorize(exchange.principal, 'write', { path });
  checkServing(nodes);
  if (isDirectory) {
    throw new StoreError('is-a-directory', `${path} with a slash at its end is a directory.`, {
      hint: 'Leave out the slash to store a file of that name; MKCOL makes a directory.',
    });
  }
  const condition = await writeConditionOf(headers, path, files);
  const parameters = { ...readPutParameters(path, headers, exchange.query), ...condition };
  // The other name that it may get lies beside this one, and a key may open this one alone.
  if (parameters.onConflict === 'rename') {
    access.authorize(exchange.principal, 'write', { path: parentOf(path) });
  }
  const digest = new AnnouncedDigest(exchange);
  if (exchange.awaitsContinue) {
    await files.checkPut({ ...parameters, expectedMd5: digest.expected });
    exchange.inviteBody();
  }
  const body = new RequestBody(exchange.request, {
    idleMs: config.uploadIdleMs,
    sizeBytes: parameters.sizeBytes,
    onEnd: digest.takeTrailers,
  });
  try {
    const { info, repeated } = await files.put({
      ...parameters,
      body,
      expectedMd5: digest.expected,
      signal: exchange.signal,
    });
    exchange.nodeId = info.primary?.id;
    sendJson(exchange, 201, putAnswerOf(info), {
      Location: fsUrlOf(info.path),
      ETag: etagOf(info.file.md5),
      'X-DFS-Id': info.file.id,
      ...(info.primary === undefined ? {} : { 'X-DFS-Node': info.primary.id }),
      ...(repeated ? { 'Idempotent-Replayed': 'true' } : {}),
    });
  } finally {
    body.destroy();
  }
}

/** The MD5 of a body by its headers, or by trailers that were announced. */
class AnnouncedDigest {
  readonly #exchange: Exchange;
  #md5: string | undefined;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
    this.#md5 = readMd5(exchange.request.headers);
  }

  readonly expected = (): string | undefined => this.#md5;

  /** Rejects with `invalid-request` when trailers contradict the headers, or were announced and did not come. */
  readonly takeTrailers = (): void => {
    const { headers, trailers } = this.#exchange.request;
    const fromTrailers = readMd5(trailers);
    if (fromTrailers === undefined && isMd5Announced(headers)) {
      throw new StoreError('invalid-request', 'The MD5 that was to follow the body did not come.', {
        hint: 'Send it as a header, if something on the way drops trailers.',
      });
    }
    this.#md5 = oneOf(this.#md5, fromTrailers);
  };
}

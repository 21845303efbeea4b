import { type ClientRequest, type IncomingMessage, type RequestOptions, request } from 'node:http';
import { buffer } from 'node:stream/consumers';

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** Sends one request as it is given, on a connection of its own, and reads the whole answer. */
export async function ask(
  url: string,
  options: RequestOptions & { readonly body?: string | Uint8Array } = {},
): Promise<RawAnswer> {
  const { body, ...rest } = options;
  const sent = request(url, { agent: false, ...rest });
  sent.end(body);
  return answerOf(sent);
}

/** The answer to a request that is being sent. */
export async function answerOf(sent: ClientRequest): Promise<RawAnswer> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    sent.once('response', resolve);
    sent.once('error', reject);
  });
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: await buffer(response),
  };
}

/** The code of an error answer. */
export const codeOf = ({ body }: RawAnswer): string | undefined =>
  (JSON.parse(body.toString()) as { error?: { code?: string } }).error?.code;

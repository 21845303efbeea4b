import type { HttpConnection, ResponseHandler, ResponseHead } from './http-connection.ts';

/** A server, and what opens its door where one is needed. */
export interface RequestTarget {
  host: string;
  port: number;
  authorization?: string;
}

/** An answer whose body is short, with its body as text. */
export interface CollectedAnswer {
  head: ResponseHead;
  text: string;
}

/** A request's head, with `Content-Length` when there is a body. */
export function requestHead(
  method: string,
  path: string,
  target: RequestTarget,
  bodyBytes?: number,
): string {
  const lines = [`${method} ${path} HTTP/1.1`, `Host: ${target.host}:${target.port}`];
  if (target.authorization) lines.push(`Authorization: ${target.authorization}`);
  if (bodyBytes !== undefined) {
    lines.push('Content-Type: application/octet-stream', `Content-Length: ${bodyBytes}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}

/** Waits for the answer to the request that `send` starts; resolves with an error, never rejects. */
export function collectAnswer(
  send: (handler: ResponseHandler) => void,
): Promise<CollectedAnswer | Error> {
  const parts: Buffer[] = [];
  return new Promise((resolve) => {
    send({
      onBody: (bytes) => parts.push(Buffer.from(bytes)),
      onEnd: (head) => resolve({ head, text: Buffer.concat(parts).toString() }),
      onError: resolve,
    });
  });
}

/** A GET with a short answer. */
export function getText(
  connection: HttpConnection,
  path: string,
  target: RequestTarget,
): Promise<CollectedAnswer | Error> {
  const request = requestHead('GET', path, target);
  return collectAnswer((handler) => connection.exchange(request, handler));
}

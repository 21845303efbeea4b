import type { RequestTarget } from './http-request.ts';

export interface TreeAnswer {
  readonly status: number;
  readonly text: string;
  /** From the request to the end of its answer. */
  readonly ms: number;
}

/** One request about the tree, and how long it took. */
export async function treeRequest(
  { host, port, authorization }: RequestTarget,
  method: string,
  path: string,
  { destination, body }: { destination?: string; body?: object } = {},
): Promise<TreeAnswer> {
  const startedAtMs = performance.now();
  const answer = await fetch(`http://${host}:${port}${path}`, {
    method,
    headers: {
      ...(authorization === undefined ? {} : { authorization }),
      ...(destination === undefined ? {} : { destination }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, text, ms: performance.now() - startedAtMs };
}

export function statusMustBe(status: number, answer: TreeAnswer): void {
  if (answer.status === status) return;
  throw new Error(`Answered ${answer.status} instead of ${status}: ${answer.text.slice(0, 500)}`);
}

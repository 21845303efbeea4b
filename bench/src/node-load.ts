import type { ClusterNode } from './cluster.ts';
import type { LoadTarget } from './load-messages.ts';

/** The listener of a node for users, as one to be asked. Throws when it has none. */
export function listenerOf({ name, publicUrl }: ClusterNode, authorization: string): LoadTarget {
  if (publicUrl === undefined) throw new Error(`The node ${name} has no public listener.`);
  const { hostname, port } = new URL(publicUrl);
  return { host: hostname, port: Number(port), authorization };
}

/** Bytes of blobs that each node has sent since it started, by name. */
export async function bytesSentBy(
  nodes: readonly ClusterNode[],
  authorization: string,
): Promise<Map<string, number>> {
  return new Map(
    await Promise.all(
      nodes.map(async ({ name, url }): Promise<[string, number]> => {
        const answer = await fetch(`${url}/metrics`, { headers: { authorization } });
        const line = /^dfs_node_bytes_total\{kind="get"\} (\S+)$/m.exec(await answer.text());
        if (!line) throw new Error(`/metrics of ${name} answers ${answer.status} without bytes.`);
        return [name, Number(line[1])];
      }),
    ),
  );
}

/** A JSON answer of the master. Rejects when it is none. */
export async function ask<Answer>(target: LoadTarget, path: string): Promise<Answer> {
  const { host, port, authorization } = target;
  const answer = await fetch(`http://${host}:${port}${path}`, { headers: { authorization } });
  if (!answer.ok) throw new Error(`${path} answers ${answer.status}.`);
  return (await answer.json()) as Answer;
}

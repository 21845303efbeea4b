import type { NodeSnapshot } from '../../cluster/node-directory.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Front } from '../http/front.ts';

/** One node, as `registered_instances` tells it: rooms in GiB, sizes of what it holds in bytes, uptime in seconds. */
export interface Instance {
  /** Address and port, whichever kind of address it is. */
  readonly ipv4: string;
  readonly total_memory: number;
  readonly used_memory: number;
  readonly stored_files_size: number;
  readonly cached_files_size: number;
  readonly instance_name: string;
  readonly stored_files_count: number;
  readonly cached_files_count: number;
  readonly uptime: number;
  readonly healthy: boolean;
}

/** All nodes by name. Of two that have one name, the second is under its id. */
export function instancesOf(
  { nodes, config }: Pick<Front, 'nodes' | 'config'>,
  exchange: Pick<Exchange, 'baseUrl' | 'forwardedFor'>,
): Record<string, Instance> {
  const instances: Record<string, Instance> = {};
  for (const node of nodes.snapshots()) {
    const key = Object.hasOwn(instances, node.name) ? node.id : node.name;
    const isOwn = key === config.instanceName && node.told?.publicPort === undefined;
    instances[key] = { ...instanceOf(node), ...(isOwn ? addressHere(exchange) : {}) };
  }
  return instances;
}

/** By whatever is on that disk, where the node told how much is free. */
const usedOnDisk = ({ told, capacityBytes, freeBytes, usedBytes }: NodeSnapshot) =>
  told === undefined ? usedBytes : Math.max(usedBytes, capacityBytes - freeBytes);

/** Where users reach it: its own listener for them, else what it says of redirects, else where other programs reach it. */
function addressOf({ told, publicUrl, url }: NodeSnapshot): string {
  const { hostname, host } = new URL(publicUrl ?? url);
  return told?.publicPort === undefined ? host : `${hostname}:${told.publicPort}`;
}

/** An instance that is master and node answers users at the port of the master: where whoever asks reached it. */
function addressHere({ baseUrl, forwardedFor }: Pick<Exchange, 'baseUrl' | 'forwardedFor'>) {
  if (baseUrl === undefined || forwardedFor) return {};
  const { protocol, hostname, port } = new URL(baseUrl);
  return { ipv4: `${hostname}:${port || (protocol === 'https:' ? 443 : 80)}` };
}

function instanceOf(node: NodeSnapshot): Instance {
  const { told } = node;
  return {
    ipv4: addressOf(node),
    total_memory: node.capacityBytes / 2 ** 30,
    used_memory: usedOnDisk(node) / 2 ** 30,
    stored_files_size: node.usedBytes,
    cached_files_size: told?.cachedBytes ?? 0,
    instance_name: node.name,
    stored_files_count: told?.blobCount ?? 0,
    cached_files_count: told?.cachedCount ?? 0,
    uptime: told?.uptimeSeconds ?? 0,
    healthy: node.state === 'up',
  };
}

import type { NodeSnapshot } from '../cluster/node-directory.ts';

/** A node with less than this share of its capacity left is short of room, */
const shareMin = 0.1;
/** but never one with so much left. */
const plentyBytes = 10 * 2 ** 30;

/** When room is short, deleted content stays no longer than this. Reads and uploads hold their blobs beyond it; it is for those that are about to begin. */
export const shortGraceMs = 5_000;

/** What a node has to have left for new blobs. Pure. */
const roomMinBytes = ({ capacityBytes }: NodeSnapshot) =>
  Math.min(capacityBytes * shareMin, plentyBytes);

/** True when a node will soon have to refuse blobs. Pure. */
export const isShortOfRoom = (node: NodeSnapshot) => node.freeBytes < roomMinBytes(node);

/** How much would have to go from the nodes that run short, all together. Pure. */
export const bytesShortOfRoom = (nodes: readonly NodeSnapshot[]): number =>
  nodes
    .filter((node) => node.state === 'up' && isShortOfRoom(node))
    .reduce((sum, node) => sum + roomMinBytes(node) - node.freeBytes, 0);

/**
 * True when the store as a whole runs short of room: of the nodes that take blobs, fewer than the copies that a file wants still have room to spare. What
 * can be given up early goes then. A single full node is no shortage while enough others have room. Pure.
 */
export function roomIsShort(nodes: readonly NodeSnapshot[], copies: number): boolean {
  const staying = nodes.filter(({ state }) => state !== 'draining' && state !== 'removed');
  const takers = staying.filter((node) => node.state === 'up');
  // Nodes that are away for a while have not taken their room with them.
  if (takers.length < Math.min(copies, staying.length)) return false;
  const roomy = takers.filter((node) => !isShortOfRoom(node));
  return roomy.length < Math.min(copies, takers.length);
}

import { type NodeId, StoreError } from '@dfs/shared';
import type { NodeSnapshot } from '../cluster/node-directory.ts';

/** Seconds after which nodes that are away may be back, or known to be gone. */
const retryAfterSeconds = 2;

/** True when this node may take blobs now or soon, as far as its state goes. */
const isHopeful = (node: NodeSnapshot) => node.state === 'up' || node.state === 'suspect';

export interface RoomRequest {
  /** 0 when unknown. */
  readonly sizeBytes: number;
  readonly segmentBytes: number;
  /** How many nodes have to hold it before the answer. */
  readonly minCopies: number;
}

/**
 * Refuses a body that cannot be stored, before it is read: `no-room` when all nodes together or each by itself lack room for it, `unavailable` when
 * no node takes blobs, or too few do.
 */
export function checkRoom(nodes: readonly NodeSnapshot[], request: RoomRequest): void {
  const { sizeBytes, segmentBytes, minCopies } = request;
  const blobBytes = Math.min(sizeBytes, segmentBytes);
  const roomBytes = takers(nodes).reduce((sum, node) => sum + roomOf(node), 0);
  if (roomBytes < sizeBytes) throw uploadRefusal(nodes, { sizeBytes });
  const fit = nodes.filter((node) => isHopeful(node) && !lacksRoom(node, blobBytes)).length;
  if (fit === 0) throw uploadRefusal(nodes, { sizeBytes: blobBytes });
  if (fit >= minCopies) return;
  const full = takers(nodes).filter((node) => lacksRoom(node, blobBytes));
  const roomy = takers(nodes).length - full.length;
  const isForRoom = roomy < minCopies && minCopies <= roomy + full.length;
  if (!isForRoom) throw tooFewNodes(minCopies, `only ${fit} can.`);
  throw new StoreError(
    'no-room',
    `${minCopies} nodes were to hold every byte, and only ${fit} have room for ${blobBytes} bytes: ${lacksText(full, blobBytes)}.`,
    { hint: `${noRoomHint} Or ask for fewer copies (minCopies, --min-copies).` },
  );
}

/** Refuses an upload that fewer nodes took than were asked for. */
export const tooFewNodes = (minCopies: number, why: string, cause?: StoreError) =>
  new StoreError('unavailable', `${minCopies} nodes were to hold every byte: ${why}`, {
    hint: 'Ask for fewer copies (minCopies, --min-copies), or try again when more nodes are up.',
    retryAfterSeconds: 5,
    ...(cause ? { cause } : {}),
  });

/** Why no node took a blob: `no-room` when all lacked it, else `unavailable` with what is known of each node. */
export function uploadRefusal(
  nodes: readonly NodeSnapshot[],
  upload: { readonly sizeBytes: number; readonly failures?: ReadonlyMap<NodeId, StoreError> },
): StoreError {
  const { sizeBytes, failures } = upload;
  if (nodes.length === 0) {
    return new StoreError('unavailable', 'No storage node has registered with this master.', {
      hint: 'Start one with "dfs node", and look at "dfs nodes".',
      retryAfterSeconds,
    });
  }
  const candidates = takers(nodes);
  const isFull = (node: NodeSnapshot) =>
    failures?.get(node.id)?.kind === 'no-room' || lacksRoom(node, sizeBytes);
  const roomBytes = candidates.reduce((sum, node) => sum + roomOf(node), 0);
  if (candidates.length > 0 && (candidates.every(isFull) || roomBytes < sizeBytes)) {
    const lacks = lacksText(candidates, sizeBytes, failures);
    return new StoreError('no-room', `No storage node has room for ${sizeBytes} bytes: ${lacks}.`, {
      hint: noRoomHint,
    });
  }
  const states = nodes.map((node) => {
    const failure = failures?.get(node.id);
    return failure ? `${node.name} (${failure.message})` : `${node.name} (${node.state})`;
  });
  return new StoreError(
    'unavailable',
    `None of the ${nodes.length} storage nodes took the upload: ${states.join(', ')}.`,
    { hint: 'Try again soon; "dfs nodes" shows how the nodes are.', retryAfterSeconds },
  );
}

const nodesNamedMax = 8;

/** Which node lacks how much. */
function lacksText(
  nodes: readonly NodeSnapshot[],
  sizeBytes: number,
  failures?: ReadonlyMap<NodeId, StoreError>,
): string {
  const lacks = nodes.slice(0, nodesNamedMax).map((node) => {
    const lackBytes = Math.max(1, sizeBytes) - roomOf(node);
    if (lackBytes > 0) return `${node.name} lacks ${lackBytes}`;
    if (failures?.get(node.id)?.kind === 'no-room') return `${node.name} says that it is full`;
    return `${node.name} has ${roomOf(node)}`;
  });
  const others = nodes.length - nodesNamedMax;
  return [...lacks, ...(others > 0 ? [`${others} more nodes no better`] : [])].join(', ');
}

const noRoomHint = 'Delete what is not needed, or add a storage node.';
const takers = (nodes: readonly NodeSnapshot[]) =>
  nodes.filter((node) => node.state !== 'draining' && node.state !== 'removed');

/** Free bytes are known of nodes that were heard; of others, what they can have at most. */
const roomOf = (node: NodeSnapshot) =>
  node.state === 'up' ? node.freeBytes : Math.max(0, node.capacityBytes - node.usedBytes);

const lacksRoom = (node: NodeSnapshot, sizeBytes: number) => roomOf(node) < Math.max(1, sizeBytes);

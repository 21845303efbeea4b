import type { NodeSnapshot } from '../cluster/node-directory.ts';

/** Heard so lately that a copy on it may be the reason to drop another one. */
const confirmedWithinMs = 60_000;

/** True when what this node holds must be made anew elsewhere: silent for `replaceAfterMs`, or no longer known at all. */
export const isLost = (node: NodeSnapshot | undefined, replaceAfterMs: number) =>
  node === undefined ||
  node.state === 'removed' ||
  (node.state === 'down' && node.silentForMs >= replaceAfterMs);

/** True when a copy can be fetched from this node now, as far as known. */
export const isReachable = (node: NodeSnapshot | undefined): node is NodeSnapshot =>
  node !== undefined &&
  (node.state === 'up' || node.state === 'draining' || node.state === 'suspect');

/** True when the node is up beyond doubt. */
export const isConfirmed = (node: NodeSnapshot | undefined): node is NodeSnapshot =>
  node !== undefined &&
  (node.state === 'up' || node.state === 'draining') &&
  node.silentForMs < confirmedWithinMs;

/**
 * True while more than half of the nodes that were heard until then are down and fell silent within one `nodeTimeoutMs`: far more likely a network
 * that is cut, or a machine that sleeps, than that many dead disks. It ends when enough of them return. Pure.
 */
export function isMajoritySilent(nodes: readonly NodeSnapshot[], nodeTimeoutMs: number): boolean {
  const silences = nodes
    .filter((node) => node.state === 'down')
    .map((node) => node.silentForMs)
    .sort((a, b) => a - b);
  const aliveNow = nodes.length - silences.length;
  return silences.some((longest, index) => {
    const together = silences.filter((silence, other) => {
      return other <= index && longest - silence <= nodeTimeoutMs;
    });
    // Those that fell silent later than the whole group, and those that never did, were alive when it did.
    const aliveThen = aliveNow + index + 1;
    return together.length > aliveThen / 2;
  });
}

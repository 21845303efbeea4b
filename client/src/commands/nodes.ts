import type { NodeAnswer, RebalanceAnswer } from '@dfs/shared';
import type { StoreApi } from '../api.ts';
import { bytesText, print, printJson, printTable, shown } from '../output.ts';
import { Nodes } from '../sdk/dfs-client.ts';

interface JsonOption {
  readonly json?: boolean;
}

/** `dfs nodes`: the storage nodes and their room. */
export async function listNodes(
  api: StoreApi,
  { json, verbose = false }: JsonOption & { verbose?: boolean },
): Promise<void> {
  const nodes = await new Nodes(api).list();
  if (json) return printJson(nodes);
  const hasZones = nodes.some(({ zone }) => zone !== undefined);
  const whereZones = (text: string) => (hasZones ? [text] : []);
  const inDetail = (...texts: string[]) => (verbose ? texts : []);
  printTable(
    [
      'NODE',
      'STATE',
      ...whereZones('ZONE'),
      'ADDRESS',
      'USED',
      'FREE',
      ...inDetail('CACHED', 'SERVES AT', 'REDIRECTED TO', 'DATA'),
      'ID',
    ],
    nodes.map((node) => [
      node.name,
      stateText(node),
      ...whereZones(node.zone ?? '-'),
      node.url,
      bytesText(node.used),
      bytesText(node.free),
      ...inDetail(
        node.cached === undefined ? '-' : bytesText(node.cached),
        node.listenerUrl ?? '-',
        node.publicUrl ?? '-',
        shown(node.dataDir),
      ),
      node.id,
    ]),
  );
}

/** `dfs nodes rm`. */
export async function removeNode(
  api: StoreApi,
  node: string,
  { json, force = false }: JsonOption & { force?: boolean },
): Promise<void> {
  const removed = await new Nodes(api).remove(node, { force });
  if (json) return printJson(removed);
  print(`Node ${shown(removed.name)} (${removed.id}) is removed.`);
}

/** `dfs drain`. */
export async function drainNode(
  api: StoreApi,
  node: string,
  { json, cancel = false }: JsonOption & { cancel?: boolean },
): Promise<void> {
  const drained = await new Nodes(api).drain(node, { cancel });
  if (json) return printJson(drained);
  const name = shown(drained.name);
  if (cancel) return print(`Node ${name} takes blobs again.`);
  if (drained.copiesLeft === 0) {
    return print(`Node ${name} takes no blobs and is empty: "dfs nodes rm ${name}" takes it out.`);
  }
  print(
    `Node ${name} takes no more blobs; ${drained.copiesLeft} copies are made elsewhere first and then dropped there. "dfs status" shows how far that is.`,
  );
}

/** `dfs rebalance`. */
export async function rebalance(
  api: StoreApi,
  { json, cancel = false }: JsonOption & { cancel?: boolean },
): Promise<void> {
  const answer: RebalanceAnswer = await new Nodes(api).rebalance({ cancel });
  if (json) return printJson(answer);
  const percent = Math.round(answer.spread * 100);
  print(
    cancel
      ? 'No more copies are moved; those on their way arrive.'
      : `Copies move from fuller nodes to emptier ones; now they differ by ${percent} %. "dfs status" shows how far that is.`,
  );
}

function stateText({ state, silentFor, copiesLeft }: NodeAnswer): string {
  const drained = copiesLeft === undefined ? '' : `, ${drainText(copiesLeft)}`;
  if (state === 'up' || state === 'draining') return `${state}${drained}`;
  return `${state} (silent for ${Math.round(silentFor)} s)${drained}`;
}

/** How far draining is. */
export const drainText = (copiesLeft: number) =>
  copiesLeft === 0 ? 'empty' : `${copiesLeft} copies to leave`;

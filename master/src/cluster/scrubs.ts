import { type ScrubAnswer, type ScrubbingNode, type ScrubStatus, StoreError } from '@dfs/shared';
import { findNode } from './node-admin.ts';
import type { NodeDirectory, NodeSnapshot } from './node-directory.ts';

export interface ScrubsDependencies {
  readonly nodes: Pick<NodeDirectory, 'snapshots'>;
  readonly scrubbing: (id: NodeSnapshot['id']) => ScrubbingNode;
}

/** Has nodes read all their blobs again, and tells how far they are. */
export class Scrubs {
  readonly #deps: ScrubsDependencies;

  constructor(dependencies: ScrubsDependencies) {
    this.#deps = dependencies;
  }

  /** Begins on every node, or on the one of this name or id. Rejects with `not-found`; what a node answers stands in its element. */
  start(node?: string): Promise<ScrubAnswer[]> {
    return this.#ask(node, (scrubbing) => scrubbing.startScrub());
  }

  /** How each node stands. */
  status(node?: string): Promise<ScrubAnswer[]> {
    return this.#ask(node, (scrubbing) => scrubbing.scrubStatus());
  }

  async #ask(
    node: string | undefined,
    ask: (scrubbing: ScrubbingNode) => Promise<ScrubStatus>,
  ): Promise<ScrubAnswer[]> {
    const all = this.#deps.nodes.snapshots();
    const asked = node === undefined ? all : [findNode(all, node)];
    return Promise.all(
      asked.map(async ({ id, name, state }) => {
        const answer = { node: { id, name } };
        if (state === 'down') return { ...answer, error: 'The node is down.' };
        try {
          return { ...answer, status: await ask(this.#deps.scrubbing(id)) };
        } catch (error) {
          if (!(error instanceof StoreError)) throw error;
          return { ...answer, error: error.message };
        }
      }),
    );
  }
}

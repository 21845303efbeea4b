import type { Clock } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { NodeDirectory } from '../cluster/node-directory.ts';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import type { RepairLoop } from '../replication/repair-loop.ts';
import { CopiesSweep } from './copies-sweep.ts';
import { SizeFolding } from './size-folding.ts';
import { TrashCollector, type TrashCollectorDependencies } from './trash-collector.ts';

export interface TreeUpkeepDependencies {
  readonly metadata: MetadataRepository;
  readonly nodes: NodeDirectory;
  /** Told of copies that are missing or too many since a number was changed. */
  readonly repair: Pick<RepairLoop, 'lookForShort' | 'scan'>;
  /** Tells whether the clock can be trusted. */
  readonly grace: TrashCollectorDependencies['grace'];
  readonly clock: Clock;
  readonly logger: Logger;
  readonly config: TrashCollectorDependencies['config'];
}

/** The work that a tree leaves behind: sizes to be carried up, copies to follow a number, trash to be taken apart. */
export class TreeUpkeep {
  readonly sizes: SizeFolding;
  readonly copies: CopiesSweep;
  readonly trash: TrashCollector;

  constructor(dependencies: TreeUpkeepDependencies) {
    const { nodes, repair } = dependencies;
    this.sizes = new SizeFolding(dependencies);
    this.trash = new TrashCollector(dependencies);
    this.copies = new CopiesSweep({
      ...dependencies,
      onRaised: () => repair.lookForShort(),
      onLowered: () => {
        for (const { id } of nodes.snapshots()) repair.scan(id);
      },
    });
  }

  start(): void {
    for (const loop of this.#loops()) loop.start();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#loops().map((loop) => loop.stop()));
  }

  /** One round of everything, for whoever moves the clock itself. */
  async step(): Promise<void> {
    for (const loop of this.#loops()) await loop.step();
  }

  #loops() {
    return [this.sizes, this.copies, this.trash];
  }
}

import type { RequestTarget } from './http-request.ts';
import { seedFiles } from './seeded-tree.ts';
import { median } from './statistics.ts';
import { statusMustBe, treeRequest } from './tree-requests.ts';
import { rowOf, type TreeRow } from './tree-row.ts';

/** What moving and removing may cost at most, against the same with an empty directory. */
const timesEmpty = 5;

export interface TreeBench {
  readonly target: RequestTarget;
  readonly sqliteFile: string;
  readonly files: number;
  readonly rounds: number;
  say(line: string): void;
}

/** Moves, removes and brings back a directory of many files and an empty one, in turns. */
export async function measureMoves(bench: TreeBench): Promise<TreeRow[]> {
  const { target, sqliteFile, files, rounds, say } = bench;
  const large = new Traveller(target, 'large');
  const empty = new Traveller(target, 'empty');
  for (const traveller of [large, empty]) await traveller.make();
  say(`putting ${files} names into a directory`);
  await seedFiles(sqliteFile, { directory: large.name, files });
  await large.mustHold(files);

  say('moving it, and an empty one');
  const moves = { large: [] as number[], empty: [] as number[] };
  const removals = { large: [] as number[], empty: [] as number[] };
  for (let round = -3; round < rounds; round += 1) {
    for (const [which, traveller] of [
      ['large', large],
      ['empty', empty],
    ] as const) {
      const ms = await traveller.move();
      // The first ones warm up.
      if (round >= 0) moves[which].push(ms);
    }
  }
  await large.mustHold(files);
  say('removing and restoring both');
  for (let round = -1; round < Math.ceil(rounds / 4); round += 1) {
    for (const [which, traveller] of [
      ['large', large],
      ['empty', empty],
    ] as const) {
      const ms = await traveller.removeAndRestore();
      if (round >= 0) removals[which].push(ms);
    }
  }
  await large.mustHold(files);
  const row = (title: string, times: { large: number[]; empty: number[] }) =>
    rowOf({
      title,
      ours: median(times.large),
      reference: median(times.empty),
      referenceName: 'an empty one',
      unit: 'ms',
      bound: { atMost: timesEmpty },
    });
  return [
    row(`moving a directory of ${files} files`, moves),
    row('removing it, until no reader finds what was in it', removals),
  ];
}

/** A directory that goes from name to name. */
class Traveller {
  readonly #target: RequestTarget;
  readonly #name: string;
  #journeys = 0;

  constructor(target: RequestTarget, name: string) {
    this.#target = target;
    this.#name = name;
  }

  get name(): string {
    return `${this.#name}-${this.#journeys}`;
  }

  get #path(): string {
    return `/fs/${this.name}`;
  }

  async make(): Promise<void> {
    statusMustBe(201, await treeRequest(this.#target, 'MKCOL', this.#path));
  }

  /** In milliseconds. */
  async move(): Promise<number> {
    const from = this.#path;
    this.#journeys += 1;
    const answer = await treeRequest(this.#target, 'MOVE', from, { destination: this.#path });
    statusMustBe(201, answer);
    return answer.ms;
  }

  /** Milliseconds until it was removed and the next reader did not find it. */
  async removeAndRestore(): Promise<number> {
    const removed = await treeRequest(this.#target, 'DELETE', this.#path);
    statusMustBe(204, removed);
    const read = await treeRequest(this.#target, 'GET', `${this.#path}/00000000`);
    statusMustBe(404, read);
    const trash = await treeRequest(this.#target, 'GET', '/api/v1/trash?limit=1');
    const { items } = JSON.parse(trash.text) as { items: { id: string }[] };
    const restored = await treeRequest(this.#target, 'POST', '/api/v1/trash/restore', {
      body: { id: items[0]?.id },
    });
    statusMustBe(200, restored);
    return removed.ms + read.ms;
  }

  /** Nothing is lost on the way. */
  async mustHold(files: number): Promise<void> {
    const answer = await treeRequest(
      this.#target,
      'GET',
      this.#path.replace('/fs/', '/api/v1/usage/'),
    );
    statusMustBe(200, answer);
    const usage = JSON.parse(answer.text) as { files: number };
    if (usage.files !== files) throw new Error(`${this.#path} holds ${usage.files} files.`);
  }
}

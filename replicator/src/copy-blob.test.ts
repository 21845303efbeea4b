import {
  type BlobPeer,
  type NodeId,
  type NodeMapEntry,
  newNodeId,
  type PullRequest,
  type ReplicationAttempt,
  type ReplicationJob,
  StoreError,
} from '@dfs/shared';
import { FakeClock, makeJob, recordingLogger } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { copyBlob } from './copy-blob.ts';
import { CopySlots } from './copy-slots.ts';
import { NodePauses } from './node-pauses.ts';

const never = new AbortController().signal;
const [target, first, second] = [newNodeId(), newNodeId(), newNodeId()] as [NodeId, NodeId, NodeId];

const networkError = (code: string) =>
  new StoreError('unavailable', 'gave no answer', {
    cause: Object.assign(new Error(code), { code }),
  });
const refused = (kind: StoreError['kind']) => new StoreError(kind, `it says ${kind}`);

interface World {
  /** What the target answers to each pull in turn; undefined: it is stored. */
  readonly answers: readonly (StoreError | undefined)[];
  readonly known?: readonly NodeId[];
  readonly learnt?: readonly NodeId[];
  readonly job?: Partial<ReplicationJob>;
  readonly signal?: AbortSignal;
}

/** Runs one job against a target that answers as told. */
async function run(world: World) {
  const pulls: PullRequest[] = [];
  const attempts: ReplicationAttempt[] = [];
  const entryOf = (id: NodeId): NodeMapEntry => ({
    id,
    name: id.slice(-4),
    url: `http://${id}`,
    state: 'up',
  });
  let known = new Set(world.known ?? [target, first, second]);
  let refreshes = 0;
  const clock = new FakeClock();
  const pauses = new NodePauses(clock);
  const slots = new CopySlots({ copiesMax: 1, perNodeMax: 1, waitingMax: 10, clock });
  const { logger, lines } = recordingLogger();
  const store: Pick<BlobPeer, 'pull'> = {
    pull: async (request) => {
      const answer = world.answers[pulls.length];
      pulls.push(request);
      if (pulls.length > world.answers.length) throw new Error('one pull too many');
      if (answer) throw answer;
      return { sizeBytes: request.sizeBytes, md5: request.md5 };
    },
  };
  const job = makeJob({ target, sources: [first, second], ...world.job });
  const dependencies = {
    nodes: {
      find: (id: NodeId) => (known.has(id) ? entryOf(id) : undefined),
      refresh: async () => {
        refreshes += 1;
        if (world.learnt) known = new Set(world.learnt);
      },
    },
    storeOf: () => store,
    slots,
    pauses,
    report: (attempt: ReplicationAttempt) => void attempts.push(attempt),
    clock,
    logger,
    random: () => 0,
  };
  const error = await copyBlob(job, dependencies, world.signal ?? never).catch((each) => each);
  const free = await slots.acquire(target, [first], AbortSignal.timeout(50));
  return { job, error, pulls, attempts, lines, refreshes, pauses, isSlotFree: free !== undefined };
}

const sourcesOf = (pulls: readonly PullRequest[]) => pulls.map((pull) => pull.source.nodeId);

describe('copyBlob', () => {
  it('has the target pull from the best source and tells that it is stored', async () => {
    const { job, error, pulls, attempts, lines } = await run({ answers: [undefined] });
    expect(error).toBeUndefined();
    expect(pulls).toEqual([
      {
        blobId: job.blobId,
        source: { nodeId: first, url: `http://${first}` },
        sizeBytes: job.sizeBytes,
        md5: job.md5,
      },
    ]);
    expect(attempts).toMatchObject([
      { blobId: job.blobId, source: first, target, outcome: 'stored', durationMs: 0 },
    ]);
    expect(lines.map((line) => line.message)).toEqual(['copy stored']);
  });

  it.each<{ kind: StoreError['kind']; sourceIsBad: 'missing' | 'corrupt' }>([
    { kind: 'not-found', sourceIsBad: 'missing' },
    { kind: 'corrupt', sourceIsBad: 'corrupt' },
  ])(
    'takes another source when one answers $kind, and says what is wrong with it',
    async ({ kind, sourceIsBad }) => {
      const { error, pulls, attempts } = await run({ answers: [refused(kind), undefined] });
      expect(error).toBeUndefined();
      expect(sourcesOf(pulls)).toEqual([first, second]);
      expect(attempts).toMatchObject([
        {
          source: first,
          outcome: 'failed',
          errorCode: kind,
          message: `it says ${kind}`,
          sourceIsBad,
        },
        { source: second, outcome: 'stored' },
      ]);
    },
  );

  it.each<{ name: string; answers: StoreError[]; expectedSources: NodeId[]; code: string }>([
    {
      name: 'every source lacks it',
      answers: [refused('not-found'), refused('not-found')],
      expectedSources: [first, second],
      code: 'not-found',
    },
    {
      name: 'the target is full',
      answers: [refused('no-room')],
      expectedSources: [first],
      code: 'no-room',
    },
    {
      name: 'the request itself is wrong',
      answers: [refused('invalid-request')],
      expectedSources: [first],
      code: 'invalid-request',
    },
    {
      name: 'the key is wrong',
      answers: [refused('unauthorized')],
      expectedSources: [first],
      code: 'unauthorized',
    },
    {
      name: 'the target has other bytes under this id',
      answers: [refused('conflict')],
      expectedSources: [first],
      code: 'conflict',
    },
    {
      name: 'another node answers, also after a refresh',
      answers: [refused('wrong-node'), refused('wrong-node'), refused('wrong-node')],
      expectedSources: [first, first, second],
      code: 'wrong-node',
    },
    {
      name: 'each source makes the target fail',
      answers: [refused('internal'), refused('internal')],
      expectedSources: [first, second],
      code: 'internal',
    },
  ])('gives up when $name', async ({ answers, expectedSources, code }) => {
    const { error, pulls, attempts, isSlotFree } = await run({ answers });
    expect(error).toMatchObject({ kind: code });
    expect(sourcesOf(pulls)).toEqual(expectedSources);
    expect(attempts.map((attempt) => attempt.errorCode)).toEqual(answers.map(() => code));
    expect(attempts.every((attempt) => attempt.outcome === 'failed')).toBe(true);
    expect(isSlotFree).toBe(true);
  });

  it.each<StoreError['kind']>(['wrong-node', 'stale-epoch'])(
    'asks the master for the map once when a node answers %s',
    async (kind) => {
      const { error, pulls, refreshes } = await run({ answers: [refused(kind), undefined] });
      expect(error).toBeUndefined();
      expect(refreshes).toBe(1);
      expect(sourcesOf(pulls)).toEqual([first, first]);
    },
  );

  it('tries another source at once when one cannot be reached', async () => {
    const { error, pulls } = await run({ answers: [refused('unavailable'), undefined] });
    expect(error).toBeUndefined();
    expect(sourcesOf(pulls)).toEqual([first, second]);
  });

  it('tries the only source again after a while, a bounded number of times', async () => {
    const { error, pulls } = await run({
      answers: Array(3).fill(refused('unavailable')),
      job: { sources: [first] },
    });
    expect(error).toMatchObject({ kind: 'unavailable' });
    expect(pulls).toHaveLength(3);
  });

  it('does not sit out a long Retry-After', async () => {
    const busy = new StoreError('too-many-requests', 'busy', { retryAfterSeconds: 60 });
    const { error, pulls } = await run({ answers: [busy], job: { sources: [first] } });
    expect(error).toBe(busy);
    expect(pulls).toHaveLength(1);
  });

  it('tries again when a connection broke', async () => {
    const { error, pulls, attempts } = await run({
      answers: [networkError('ECONNRESET'), undefined],
    });
    expect(error).toBeUndefined();
    expect(pulls).toHaveLength(2);
    expect(attempts[0]).toMatchObject({ outcome: 'failed', errorCode: 'ECONNRESET' });
    expect(attempts[0]).not.toHaveProperty('sourceIsBad');
  });

  it('leaves a target alone that gave no answer twice, without an attempt more', async () => {
    const gone = networkError('ECONNREFUSED');
    const { error, pulls, attempts, pauses, isSlotFree } = await run({ answers: [gone, gone] });
    expect(error).toBeUndefined();
    expect(pulls).toHaveLength(2);
    expect(attempts).toHaveLength(2);
    expect(pauses.isPaused(target)).toBe(true);
    expect(isSlotFree).toBe(true);
  });

  it('asks the master for the map when the target or all sources are unknown', async () => {
    const { error, refreshes, pulls } = await run({
      answers: [undefined],
      known: [target],
      learnt: [target, second],
    });
    expect(error).toBeUndefined();
    expect(refreshes).toBe(1);
    expect(sourcesOf(pulls)).toEqual([second]);
  });

  it.each<{ name: string; known: NodeId[]; sources?: NodeId[] }>([
    { name: 'the target is no node of the cluster', known: [first, second] },
    { name: 'no source is known', known: [target] },
    { name: 'the job names no source', known: [target, first], sources: [] },
  ])('tells the master and gives up when $name', async ({ known, sources }) => {
    const { error, pulls, attempts } = await run({
      answers: [],
      known,
      ...(sources ? { job: { sources } } : {}),
    });
    expect(error).toMatchObject({ kind: 'unavailable' });
    expect(pulls).toEqual([]);
    expect(attempts).toMatchObject([{ target, outcome: 'failed', errorCode: 'unavailable' }]);
  });

  it('has a target that is its only source look at its own copy anew', async () => {
    const { error, pulls, attempts } = await run({
      answers: [undefined],
      job: { sources: [target] },
    });
    expect(error).toBeUndefined();
    expect(sourcesOf(pulls)).toEqual([target]);
    expect(attempts).toMatchObject([{ target, outcome: 'stored' }]);
  });

  it('ends without an attempt when its job was cancelled', async () => {
    const { error, pulls, attempts } = await run({ answers: [], signal: AbortSignal.abort() });
    expect(error).toMatchObject({ kind: 'cancelled' });
    expect(pulls).toEqual([]);
    expect(attempts).toEqual([]);
  });

  it('cuts a message that is too long for a row', async () => {
    const long = new StoreError('invalid-request', 'x'.repeat(10_000));
    const { attempts } = await run({ answers: [long] });
    expect(attempts[0]?.message).toHaveLength(500);
  });
});

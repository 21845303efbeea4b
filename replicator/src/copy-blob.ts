import { setTimeout as sleep } from 'node:timers/promises';
import {
  type BlobPeer,
  type Clock,
  decideRetry,
  isNetworkErrorCode,
  type NodeId,
  type NodeMapEntry,
  type ReplicationAttempt,
  type ReplicationJob,
  StoreError,
} from '@dfs/shared';
import { type Logger, networkCodeOf } from '@dfs/shared/cluster';
import type { CopySlots } from './copy-slots.ts';
import type { NodePauses } from './node-pauses.ts';

/** The nodes as the master told of them last. */
export interface KnownNodes {
  find(id: NodeId): NodeMapEntry | undefined;
  /** Asks the master again. Never rejects: the old map stays when it cannot be reached. */
  refresh(): Promise<void>;
}

export interface CopyBlobDependencies {
  readonly nodes: KnownNodes;
  readonly storeOf: (id: NodeId) => Pick<BlobPeer, 'pull'>;
  readonly slots: CopySlots;
  readonly pauses: NodePauses;
  /** Takes the outcome of every attempt, to be told to the master. */
  readonly report: (attempt: ReplicationAttempt) => void;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
}

/** Attempts in one job beyond one for each source; after them the repair loop decides. */
const attemptsBeyondSources = 2;
/** A longer wait is not waited here: the row of the copy has the time of its next attempt. */
const waitMaxMs = 2_000;
const messageMaxChars = 500;

/**
 * Has the target pull the blob from a source, from another one when that fails, and reports every attempt. Resolves when the copy is stored, or when the job is
 * left to the repair loop because the target does not answer or too much waits for it. Rejects with the last failure, or `cancelled` when `signal` aborted.
 */
export async function copyBlob(
  job: ReplicationJob,
  dependencies: CopyBlobDependencies,
  signal: AbortSignal,
): Promise<void> {
  const { slots, pauses, random } = dependencies;
  let sources = await knownSources(job, dependencies);
  let hasRefreshed = false;
  for (let attempt = 1; ; attempt += 1) {
    const slot = await slots.acquire(job.target, sources, signal);
    const isLeft = !slot || pauses.isPaused(job.target);
    if (isLeft || signal.aborted) slot?.release();
    if (signal.aborted) throw new StoreError('cancelled', 'The job was cancelled.');
    if (isLeft) return;
    const failure = await pull(job, slot.source, dependencies, signal).finally(slot.release);
    if (!failure) return;
    const { code, error } = failure;
    const decision = decideRetry(
      { code, attempt, retryAfterSeconds: retryAfterOf(error) },
      random(),
    );
    if (decision.action === 'never' && code !== 'stale-epoch') throw error;
    // The target's own trouble: another source would meet it too. Another target is the master's choice.
    if (code === 'no-room') throw error;
    if (attempt >= job.sources.length + attemptsBeyondSources) throw error;
    if (decision.action === 'refresh' || code === 'stale-epoch') {
      if (hasRefreshed) throw error;
      hasRefreshed = true;
      await dependencies.nodes.refresh();
      continue;
    }
    const others = sources.filter((id) => id !== slot.source);
    const isSourceOut = decision.action === 'other';
    if (isSourceOut && others.length === 0) throw error;
    sources = isSourceOut ? others : [...others, slot.source];
    const isTargetSilent = isNetworkErrorCode(code);
    const mustWait = !isSourceOut && (others.length === 0 || isTargetSilent);
    if (mustWait && decision.delayMs > waitMaxMs) throw error;
    // The map may be old: a node may have another address by now.
    if (!isSourceOut) await dependencies.nodes.refresh();
    if (mustWait) await waitFor(decision.delayMs, signal);
  }
}

/** The sources that can be found. Asks the master again when the target or all sources are unknown. */
async function knownSources(
  job: ReplicationJob,
  dependencies: CopyBlobDependencies,
): Promise<NodeId[]> {
  const { nodes } = dependencies;
  // A target that is its only source is asked to look at its own copy anew.
  const isOnlySource = job.sources.length === 1;
  const find = () =>
    job.sources.filter((id) => (id !== job.target || isOnlySource) && nodes.find(id));
  if (!nodes.find(job.target) || find().length === 0) await nodes.refresh();
  const sources = find();
  const isTargetKnown = nodes.find(job.target) !== undefined;
  if (sources.length > 0 && isTargetKnown) return sources;
  const message = isTargetKnown
    ? 'No node is known from which the blob could be copied.'
    : 'The target is no node of the cluster.';
  const error = new StoreError('unavailable', message);
  note(job, undefined, { code: error.kind, error }, dependencies, dependencies.clock.monotonic());
  throw error;
}

interface Failure {
  readonly code: string;
  readonly error: unknown;
}

/** One attempt, told and logged; undefined when the copy is stored. */
async function pull(
  job: ReplicationJob,
  sourceId: NodeId,
  dependencies: CopyBlobDependencies,
  signal: AbortSignal,
): Promise<Failure | undefined> {
  const { nodes, storeOf, pauses, clock } = dependencies;
  const { blobId, target, sizeBytes, md5 } = job;
  const startedAtMs = clock.monotonic();
  try {
    const source = { nodeId: sourceId, url: nodes.find(sourceId)?.url ?? '' };
    await storeOf(target).pull({ blobId, source, sizeBytes, md5 }, signal);
    pauses.answered(target);
    note(job, sourceId, undefined, dependencies, startedAtMs);
    return undefined;
  } catch (error) {
    const failure = { code: networkCodeOf(error), error };
    if (failure.code === 'cancelled' && signal.aborted) throw error;
    if (isNetworkErrorCode(failure.code)) pauses.silent(target);
    else pauses.answered(target);
    note(job, sourceId, failure, dependencies, startedAtMs);
    return failure;
  }
}

function note(
  job: ReplicationJob,
  source: NodeId | undefined,
  failure: Failure | undefined,
  { report, clock, logger, nodes }: CopyBlobDependencies,
  startedAtMs: number,
): void {
  const durationMs = Math.round(clock.monotonic() - startedAtMs);
  const sourceIsBad =
    failure?.code === 'not-found' ? 'missing' : failure?.code === 'corrupt' ? 'corrupt' : undefined;
  report({
    blobId: job.blobId,
    target: job.target,
    outcome: failure ? 'failed' : 'stored',
    sizeBytes: job.sizeBytes,
    startedAtMs: Math.round(clock.now() - durationMs),
    durationMs,
    ...(source === undefined ? {} : { source }),
    ...(failure ? { errorCode: failure.code, message: messageOf(failure.error) } : {}),
    ...(sourceIsBad && source !== undefined ? { sourceIsBad } : {}),
  });
  const fields = {
    blobId: job.blobId,
    path: job.path,
    source: source && (nodes.find(source)?.name ?? source),
    target: nodes.find(job.target)?.name ?? job.target,
    sizeBytes: job.sizeBytes,
    durationMs,
  };
  if (failure) {
    logger.warn('copy failed', {
      ...fields,
      errorCode: failure.code,
      reason: messageOf(failure.error),
    });
  } else logger.info('copy stored', fields);
}

const messageOf = (error: unknown) =>
  (error instanceof Error ? error.message : String(error)).slice(0, messageMaxChars);

const retryAfterOf = (error: unknown) =>
  error instanceof StoreError ? error.retryAfterSeconds : undefined;

async function waitFor(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (cause) {
    throw new StoreError('cancelled', 'The job was cancelled.', { cause });
  }
}

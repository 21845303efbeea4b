import { createHash } from 'node:crypto';
import {
  type BlobId,
  type FileId,
  type FilePath,
  fileIdOfFirstBlob,
  type NodeId,
  newBlobId,
  newNodeId,
  parseFilePath,
  type ReplicationAttempt,
  type StoredBlob,
  type StoreErrorKind,
} from '@dfs/shared';
import { afterAll, beforeAll, expect } from 'vitest';
import type {
  BindOutcome,
  BindRequest,
  BlobToBind,
  MetadataRepository,
  ReplicaState,
} from '../metadata-repository.ts';
import type { MetadataHarness, OpenMetadata } from './metadata-harness.ts';

export const md5Of = (text: string) => createHash('md5').update(text).digest('hex');
export const path = (text: string): FilePath => parseFilePath(text);

/** Nodes of the fixtures; the first is the primary. */
export const [nodeA, nodeB, nodeC, nodeD] = [
  newNodeId(),
  newNodeId(),
  newNodeId(),
  newNodeId(),
] as [NodeId, NodeId, NodeId, NodeId];

export interface FileOptions extends Partial<Omit<BindRequest, 'path' | 'file' | 'blobs'>> {
  readonly content?: string;
  readonly contentType?: string;
  /** Stored on the first, wanted on the others. */
  readonly nodes?: readonly NodeId[];
  readonly copiesWanted?: number;
  readonly blobId?: BlobId;
  /** Lengths of the blobs; by default one that holds the content. */
  readonly blobSizes?: readonly number[];
}

/** A request to bind a new content of one blob (or several) to this path. */
export function bindRequest(at: string, options: FileOptions = {}): BindRequest {
  const {
    content = at,
    contentType = 'text/plain',
    nodes = [nodeA],
    blobId = newBlobId(),
  } = options;
  const { copiesWanted = nodes.length, blobSizes = [content.length], ...conditions } = options;
  const blobs = blobSizes.map(
    (sizeBytes, index): BlobToBind => ({
      blobId: index === 0 ? blobId : newBlobId(),
      sizeBytes,
      md5: md5Of(blobSizes.length === 1 ? content : `${content} ${index}`),
      offsetBytes: blobSizes.slice(0, index).reduce((sum, size) => sum + size, 0),
      primary: nodes[0] as NodeId,
      storedOn: [],
      wantedOn: nodes.slice(1),
    }),
  );
  const sizeBytes = blobSizes.reduce((sum, size) => sum + size, 0);
  return {
    onConflict: 'replace',
    minCopies: copiesWanted,
    ...pick(conditions),
    path: path(at),
    file: {
      id: fileIdOfFirstBlob(blobId),
      sizeBytes,
      md5: md5Of(content),
      contentType,
      attributes: { title: 'Grüße 👋' },
      createdAtMs: Date.UTC(2030, 0, 1),
    },
    blobs,
  };
}

const pick = ({
  onConflict,
  ifMatch,
  ifNoneMatch,
  visibility,
  idempotencyKey,
  trashUntilMs,
}: FileOptions) => ({
  ...(onConflict === undefined ? {} : { onConflict }),
  ...(ifMatch === undefined ? {} : { ifMatch }),
  ...(ifNoneMatch === undefined ? {} : { ifNoneMatch }),
  ...(visibility === undefined ? {} : { visibility }),
  ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
  ...(trashUntilMs === undefined ? {} : { trashUntilMs }),
});

export async function bind(
  repository: MetadataRepository,
  at: string,
  options: FileOptions = {},
): Promise<BindOutcome> {
  const [outcome] = await repository.bindFiles([bindRequest(at, options)]);
  return outcome as BindOutcome;
}

/** Binds a file of one blob and gives the blob. */
export async function bindBlob(
  repository: MetadataRepository,
  at: string,
  options: FileOptions = {},
): Promise<BlobId> {
  const { named } = await bind(repository, at, options);
  return named.file.blobs[0]?.blobId as BlobId;
}

/** `node:state` of each copy, the primary's with a star, in the order of the nodes' letters. */
export async function copiesOf(
  repository: MetadataRepository,
  blobId: BlobId,
): Promise<string | undefined> {
  const replicas = (await repository.replicasOf([blobId])).get(blobId);
  return replicas
    ?.map(
      ({ nodeId, state, role }) => `${letterOf(nodeId)}:${state}${role === 'primary' ? '*' : ''}`,
    )
    .sort()
    .join(' ');
}

const letterOf = (nodeId: NodeId) => 'ABCD'[[nodeA, nodeB, nodeC, nodeD].indexOf(nodeId)];

export const attempt = (
  blobId: BlobId,
  target: NodeId,
  changes: Partial<ReplicationAttempt> = {},
): ReplicationAttempt => ({
  blobId,
  source: nodeA,
  target,
  outcome: 'stored',
  startedAtMs: Date.UTC(2030, 0, 1),
  durationMs: 12,
  ...changes,
});

/** A blob as a node's inventory lists it. */
export const listed = (
  repository: MetadataRepository,
  blobId: BlobId,
  content: string,
  changes: Partial<StoredBlob> = {},
): StoredBlob => ({
  ...repository.identity(),
  blobId,
  fileId: blobId as string as FileId,
  sequence: 0,
  path: '/listed',
  contentType: 'text/plain',
  createdAtMs: 0,
  storedAtMs: 0,
  sizeBytes: content.length,
  md5: md5Of(content),
  ...changes,
});

export const kindOf = (kind: StoreErrorKind) => expect.objectContaining({ kind });

/** A harness for the tests of one block; each test uses names of its own in it. */
export function sharedHarness(open: OpenMetadata): () => MetadataHarness {
  let harness: MetadataHarness | undefined;
  beforeAll(async () => {
    harness = await open();
  });
  afterAll(() => harness?.close());
  return () => {
    if (!harness) throw new Error('The harness is opened before the first test.');
    return harness;
  };
}

/** Runs a test on a database of its own. */
export const onNewDatabase =
  (open: OpenMetadata, test: (harness: MetadataHarness) => Promise<void>) => async () => {
    const harness = await open();
    try {
      await test(harness);
    } finally {
      await harness.close();
    }
  };

let directories = 0;
/** A directory that no other test uses. */
export function newDirectory(): string {
  directories += 1;
  return `/directory-${directories}`;
}

export const statesOf = (states: Partial<Record<ReplicaState, number>>) => ({
  wanted: 0,
  stored: 0,
  corrupt: 0,
  dropping: 0,
  ...states,
});

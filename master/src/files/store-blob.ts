import {
  type BlobId,
  type BlobReceipt,
  type FileId,
  fileIdOfFirstBlob,
  type NodeId,
  type PutOptions,
  StoreError,
} from '@dfs/shared';
import { placeBlob } from '../replication/placement.ts';
import type { BodyReader } from './body-reader.ts';
import type { BodySegment } from './body-segment.ts';
import type { FileServiceDependencies } from './file-service-dependencies.ts';
import { NodeAttempts, storeErrorOf } from './node-attempts.ts';
import { uploadRefusal } from './upload-refusal.ts';

export interface BlobUpload {
  readonly reader: BodyReader;
  readonly segment: BodySegment;
  /** Absent for a file's first blob, whose id becomes the file's. */
  readonly fileId?: FileId | undefined;
  readonly sequence: number;
  readonly path: string;
  readonly contentType: string;
  readonly createdAtMs: number;
  /** Where known. */
  readonly sizeBytes?: number | undefined;
  readonly expectedMd5?: string | undefined;
  readonly whole?: PutOptions['whole'] | undefined;
  readonly copies: number;
  readonly signal: AbortSignal;
}

/** A blob that is durable on its primary. */
export interface PlacedBlob {
  readonly blobId: BlobId;
  readonly receipt: BlobReceipt;
  readonly primary: NodeId;
  /** Where further copies belong: fewer than wanted when there are not enough nodes. */
  readonly targets: readonly NodeId[];
  /** The blob is in an upload until this is called. */
  readonly release: () => void;
}

/** Seconds after which a client may send a long body again. */
const resendAfterSeconds = 1;

/**
 * Stores one run of a body on a primary. What is still held goes to another node unseen when one fails. Rejects: what is wrong with
 * the body, `digest-mismatch`, `no-room`, `unavailable`, `cancelled`.
 */
export async function storeBlob(
  dependencies: FileServiceDependencies,
  upload: BlobUpload,
): Promise<PlacedBlob> {
  const { nodes, random } = dependencies;
  const { segment, copies } = upload;
  const attempts = new NodeAttempts(dependencies);
  for (;;) {
    const sizeBytes = upload.sizeBytes ?? segment.sizeBytes;
    const snapshots = nodes.snapshots();
    const exclude = attempts.excluded;
    const [primary, ...targets] = placeBlob(snapshots, { copies, sizeBytes, random, exclude });
    if (primary === undefined || !attempts.mayContinue) {
      const hasHope = snapshots.some(({ state }) => state === 'suspect');
      if (await hasNextRound(attempts, upload, hasHope)) continue;
      throw uploadRefusal(snapshots, { sizeBytes, failures: attempts.failures });
    }
    try {
      return { ...(await putOnce(dependencies, upload, primary)), primary, targets };
    } catch (error) {
      judgeFailure({ dependencies, upload, attempts, primary, error });
    }
  }
}

/** One attempt at one node, under an id of its own. */
async function putOnce(
  { metadata, nodes, inUse, newBlobId }: FileServiceDependencies,
  upload: BlobUpload,
  primary: NodeId,
): Promise<Pick<PlacedBlob, 'blobId' | 'receipt' | 'release'>> {
  const { segment, sequence, path, contentType, createdAtMs, expectedMd5, whole } = upload;
  const blobId = newBlobId();
  const fileId = upload.fileId ?? fileIdOfFirstBlob(blobId);
  const { clusterId, epoch } = metadata.identity();
  const bytes = segment.bytes();
  const sizeBytes = bytes?.byteLength ?? upload.sizeBytes;
  const identity = { clusterId, epoch, blobId, fileId, sequence };
  const release = inUse.uploading([blobId]);
  const giveRoomBack = nodes.reserve(primary, sizeBytes ?? segment.sizeBytes);
  try {
    const receipt = await nodes.storeOf(primary).put(blobId, bytes ?? segment.open(), {
      description: { ...identity, path, contentType, createdAtMs },
      ...(sizeBytes === undefined ? {} : { sizeBytes }),
      ...(expectedMd5 === undefined ? {} : { expectedMd5 }),
      ...(whole === undefined ? {} : { whole }),
      signal: upload.signal,
    });
    if (receipt.sizeBytes !== segment.sizeBytes) {
      const message = `It stored ${receipt.sizeBytes} of ${segment.sizeBytes} bytes.`;
      throw new StoreError('internal', message);
    }
    return { blobId, receipt, release };
  } catch (error) {
    release();
    throw error;
  } finally {
    giveRoomBack();
  }
}

/** Returns when another attempt makes sense. */
function judgeFailure(failed: {
  readonly dependencies: FileServiceDependencies;
  readonly upload: BlobUpload;
  readonly attempts: NodeAttempts;
  readonly primary: NodeId;
  readonly error: unknown;
}): void {
  const { dependencies, upload, attempts, primary } = failed;
  throwSenderFault(upload);
  const error = storeErrorOf(failed.error);
  if (error.kind === 'digest-mismatch') throw error;
  const name = dependencies.nodes.find(primary)?.name ?? primary;
  try {
    attempts.fail(primary, error);
  } catch (cause) {
    const message = `The node ${name} refused the upload: ${error.message}`;
    throw new StoreError('unavailable', message, { retryAfterSeconds: resendAfterSeconds, cause });
  }
  if (upload.segment.isReplayable) {
    const fields = { node: name, path: upload.path, error };
    dependencies.logger.warn('node did not take a blob, trying on', fields);
    return;
  }
  throw new StoreError('unavailable', `The node ${name} failed while it took the body.`, {
    hint: 'Nothing was stored. Send it again: another node will take it.',
    retryAfterSeconds: resendAfterSeconds,
    cause: error,
  });
}

async function hasNextRound(
  attempts: NodeAttempts,
  upload: BlobUpload,
  hasHope: boolean,
): Promise<boolean> {
  try {
    return await attempts.nextRound(hasHope, upload.signal);
  } catch (cause) {
    throwSenderFault(upload);
    throw new StoreError('cancelled', 'The upload was cancelled.', { cause });
  }
}

/** What the sender did comes before what a node made of it. */
function throwSenderFault({ reader, signal }: BlobUpload): void {
  if (reader.failure) throw reader.failure;
  if (signal.aborted) {
    throw new StoreError('cancelled', 'The upload was cancelled.', { cause: signal.reason });
  }
}

import { baseNameOf, type ReplicationJob, StoreError } from '@dfs/shared';
import type { BindOutcome, BindRequest, FileRecord } from '../metadata/metadata-repository.ts';
import type { TrashTime } from '../metadata/tree-changes.ts';
import { infoOfBound, infoOfStored } from './file-info.ts';
import type { FileServiceDependencies } from './file-service-dependencies.ts';
import type { FileService, PutOutcome, PutRequest, StagedFile } from './file-types.ts';
import { checkName } from './put-checks.ts';
import { mustServe, mustServeChanges } from './serving.ts';
import { checkMd5, type StoredBody, storeBody } from './store-body.ts';
import { trashUntil } from './trash-time.ts';
import { checkRoom } from './upload-refusal.ts';

type Uploads = Pick<FileService, 'put' | 'checkPut' | 'stage' | 'bind' | 'discard'>;

/** What a staged file stands on: bytes just stored, or the outcome of an earlier upload with the same idempotency key. */
type Placement = { readonly body: StoredBody } | { readonly repeated: BindOutcome };

/** Bytes first, name after: `put` is `stage` and `bind`. */
export function createUploads(dependencies: FileServiceDependencies): Uploads {
  const { metadata, nodes, config } = dependencies;

  const uploads: Uploads = {
    async put(request) {
      const staged = await uploads.stage(request);
      const [outcome] = await uploads.bind([staged]);
      return outcome as PutOutcome;
    },

    async checkPut(request) {
      mustServe(dependencies);
      if (await findRepeated(request)) return;
      await checkName(metadata, request);
      checkRoomFor(request);
    },

    async stage(request) {
      // A body that breaks off before somebody reads it must not end the process; who reads it, sees that it did.
      request.body.on('error', ignore);
      mustServe(dependencies);
      const repeated = await findRepeated(request);
      if (repeated) {
        // Whoever parses a form around this body gets on only when it is read.
        request.body.resume();
        return stagedFileOf(request, repeated.named.file, { repeated });
      }
      // A short body costs less than these questions, which the placement and the bind answer anyway.
      const { sizeBytes } = request;
      if (sizeBytes === undefined || sizeBytes > config.heldBodyBytes) {
        await checkName(metadata, request);
        checkRoomFor(request);
      }
      const contentType = request.contentType ?? contentTypeOf(request);
      const createdAtMs = dependencies.clock.now();
      const minCopies = request.minCopies ?? config.minCopies;
      const copies = Math.max(await metadata.copiesFor(request.path), minCopies);
      const body = await storeBody(dependencies, {
        ...request,
        contentType,
        createdAtMs,
        minCopies,
        copies,
      });
      const file: FileRecord = {
        id: body.fileId,
        sizeBytes: body.sizeBytes,
        md5: body.md5,
        contentType,
        attributes: request.attributes ?? {},
        createdAtMs,
        blobs: body.blobs,
      };
      return stagedFileOf(request, file, { body });
    },

    async bind(staged) {
      try {
        mustServeChanges(dependencies);
        for (const each of staged) mustBeBindable(each);
        const time = trashUntil(dependencies);
        const fresh = staged.flatMap((each) => bindRequestOf(each, time) ?? []);
        const bound = fresh.length === 0 ? [] : await bindFiles(fresh);
        return await outcomesOf(staged, bound);
      } finally {
        uploads.discard(staged);
      }
    },

    discard(staged) {
      for (const { placement } of staged as readonly { placement: Placement }[]) {
        if ('body' in placement) placement.body.release();
      }
    },
  };
  return uploads;

  async function findRepeated(
    request: Pick<PutRequest, 'idempotencyKey' | 'path'>,
  ): Promise<BindOutcome | undefined> {
    const { idempotencyKey, path } = request;
    return idempotencyKey === undefined ? undefined : metadata.findRepeated(idempotencyKey, path);
  }

  function checkRoomFor({ sizeBytes = 0, minCopies }: Partial<PutRequest>): void {
    const { segmentBytes } = config;
    checkRoom(nodes.snapshots(), {
      sizeBytes,
      segmentBytes,
      minCopies: minCopies ?? config.minCopies,
    });
  }

  function contentTypeOf({ path }: Pick<PutRequest, 'path'>): string {
    return dependencies.contentTypeOf(baseNameOf(path));
  }

  async function bindFiles(requests: readonly BindRequest[]): Promise<readonly BindOutcome[]> {
    try {
      return await metadata.bindFiles(requests);
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind !== 'conflict') throw error;
      throw new StoreError('unavailable', 'The upload took so long that it was given up.', {
        hint: 'Nothing was stored. Send it again.',
        retryAfterSeconds: 1,
        cause: error,
      });
    }
  }

  /** In the order of `staged`; `bound` has those that were not known before. Hints at the copies to be made. */
  async function outcomesOf(
    staged: readonly StagedFile[],
    bound: readonly BindOutcome[],
  ): Promise<PutOutcome[]> {
    const outcomes: PutOutcome[] = [];
    const jobs: ReplicationJob[] = [];
    let next = 0;
    for (const { placement } of staged as readonly { placement: Placement }[]) {
      const outcome = 'repeated' in placement ? placement.repeated : bound[next++];
      if (!outcome) throw new StoreError('internal', 'A bound file has no outcome.');
      if ('repeated' in placement || outcome.repeated) {
        outcomes.push(await repeatedOutcomeOf(outcome));
        continue;
      }
      const { named, replaced } = outcome;
      const info = infoOfBound(named, placement.body.blobs, nodes);
      outcomes.push({ info, isNew: replaced === undefined, repeated: false });
      jobs.push(...jobsOf(named.path, placement.body));
    }
    if (jobs.length > 0) dependencies.replication.hint(jobs);
    return outcomes;
  }

  async function repeatedOutcomeOf({ named, replaced }: BindOutcome): Promise<PutOutcome> {
    const replicas = await metadata.replicasOf(named.file.blobs.map(({ blobId }) => blobId));
    const info = infoOfStored(named, replicas, nodes);
    return { info, isNew: replaced === undefined, repeated: true };
  }
}

function ignore(): void {}

function stagedFileOf(
  { body: _, ...request }: PutRequest,
  file: FileRecord,
  placement: Placement,
): StagedFile {
  return { request, file, placement };
}

/** The sender may have said its MD5 only now, and may be gone: nothing has been committed yet. */
function mustBeBindable({ request, file, placement }: StagedFile): void {
  if ('body' in (placement as Placement)) checkMd5(request, file.md5);
  if (request.signal.aborted) {
    throw new StoreError('cancelled', 'The sender went away before the file had its name.', {
      cause: request.signal.reason,
    });
  }
}

function bindRequestOf(
  { request, file, placement }: StagedFile,
  replacedGoes: TrashTime,
): BindRequest | undefined {
  const staged = placement as Placement;
  if ('repeated' in staged) return undefined;
  const { path, ifMatch, ifNoneMatch, onConflict, isPublic, modifiedAtMs, idempotencyKey } =
    request;
  const { minCopies } = request;
  const { blobs: _, ...record } = file;
  return {
    path,
    file: record,
    blobs: staged.body.blobs,
    onConflict,
    ...replacedGoes,
    ...(ifMatch === undefined ? {} : { ifMatch }),
    ...(ifNoneMatch === undefined ? {} : { ifNoneMatch }),
    ...(minCopies === undefined ? {} : { minCopies }),
    ...(isPublic === undefined ? {} : { visibility: isPublic ? 'public' : 'private' }),
    ...(modifiedAtMs === undefined ? {} : { modifiedAtMs }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
  };
}

const jobsOf = (path: string, { blobs }: StoredBody): ReplicationJob[] =>
  blobs.flatMap(({ blobId, sizeBytes, md5, primary, storedOn, wantedOn }) => {
    const sources = [primary, ...storedOn];
    return wantedOn.map((target) => ({ blobId, target, sizeBytes, md5, path, sources }));
  });

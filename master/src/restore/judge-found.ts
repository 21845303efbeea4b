import { type FileId, type NodeId, parseFilePath, type WholeFile } from '@dfs/shared';
import type { FileRecord } from '../metadata/metadata-repository.ts';
import type { FoundBlob, FoundFile } from '../metadata/restore/restore-types.ts';

/** Blobs that were stored since shortly before the last record may be those of a change that was not shipped any more. */
const recordSlackMs = 5_000;
/** What began earlier than this before the last record is no upload that ended after it. */
const uploadMaxMs = 86_400_000;

export type FoundVerdict =
  /** Of the time that the journal covers, which does not know it: deleted, or never finished. */
  | { readonly kind: 'old' }
  | { readonly kind: 'file'; readonly found: FoundFile }
  /** Pieces, each to be kept as a file of its own. */
  | { readonly kind: 'pieces'; readonly found: readonly FoundFile[] };

/**
 * What the copies of one file's blobs mean that the journal does not know. `lastRecordAtMs`: of the last record found, undefined without a journal, where every
 * blob counts. A file of several blobs is whole only with its last blob, which says count, size and MD5 of the whole, and all others that fit. Pure.
 */
export function judgeFound(
  copies: readonly FoundBlob[],
  lastRecordAtMs: number | undefined,
): FoundVerdict {
  if (!isNewer(copies, lastRecordAtMs)) return { kind: 'old' };
  const blobs = blobsOf(copies);
  const why = whyNotWhole(blobs);
  if (why !== undefined) {
    return { kind: 'pieces', found: blobs.map((blob) => pieceOf(blob, why)) };
  }
  return { kind: 'file', found: fileOf(blobs) };
}

function isNewer(copies: readonly FoundBlob[], lastRecordAtMs: number | undefined): boolean {
  if (lastRecordAtMs === undefined) return true;
  const createdAtMs = Math.min(...copies.map((copy) => copy.createdAtMs));
  if (createdAtMs > lastRecordAtMs - recordSlackMs) return true;
  // A long upload: its last blob tells when it ended.
  const storedAtMs = Math.max(...blobsOf(copies).map((blob) => blob.storedAtMs));
  return createdAtMs > lastRecordAtMs - uploadMaxMs && storedAtMs > lastRecordAtMs - recordSlackMs;
}

/** One blob with its copies, of which all say the same. */
interface JudgedBlob extends Omit<FoundBlob, 'nodeId'> {
  readonly nodeIds: readonly NodeId[];
  /** Another blob, or other bytes, claims its place. */
  readonly isDisputed: boolean;
}

/** Copies that say the same of one place in the file; the one stored first in front. */
function blobsOf(copies: readonly FoundBlob[]): JudgedBlob[] {
  const groups = new Map<string, FoundBlob[]>();
  for (const copy of copies) {
    const key = [copy.sequence, copy.blobId, copy.md5, copy.sizeBytes].join(' ');
    const group = groups.get(key);
    if (group) group.push(copy);
    else groups.set(key, [copy]);
  }
  const sequences = [...groups.values()].map(([first]) => first?.sequence);
  return [...groups.values()]
    .map((group): JudgedBlob => {
      const sorted = [...group].sort((a, b) => a.storedAtMs - b.storedAtMs);
      const { nodeId: _, ...first } = sorted[0] as FoundBlob;
      return {
        ...first,
        nodeIds: sorted.map((copy) => copy.nodeId),
        isDisputed: sequences.filter((sequence) => sequence === first.sequence).length > 1,
      };
    })
    .sort((a, b) => a.sequence - b.sequence);
}

function whyNotWhole(blobs: readonly JudgedBlob[]): string | undefined {
  if (blobs.some((blob) => blob.isDisputed)) return 'two blobs claim one place in it';
  const whole = blobs.at(-1)?.whole;
  if (!whole) return 'its last blob, which tells of the whole, was not found';
  if (blobs.length !== whole.blobCount || blobs.some((blob, place) => blob.sequence !== place)) {
    return `${blobs.length} of its ${whole.blobCount} blobs were found`;
  }
  return whyUnlike(blobs, whole);
}

function whyUnlike(blobs: readonly JudgedBlob[], whole: WholeFile): string | undefined {
  const sizeBytes = blobs.reduce((sum, blob) => sum + blob.sizeBytes, 0);
  if (sizeBytes !== whole.sizeBytes) {
    return `its blobs have ${sizeBytes} bytes together instead of ${whole.sizeBytes}`;
  }
  const [only] = blobs;
  if (blobs.length === 1 && only?.md5 !== whole.md5) return 'its blob has another MD5';
  if (new Set(blobs.map((blob) => blob.path)).size > 1) return 'its blobs name different paths';
  return undefined;
}

function fileOf(blobs: readonly JudgedBlob[]): FoundFile {
  const last = blobs.at(-1) as JudgedBlob & { whole: WholeFile };
  return foundOf(blobs, last.fileId, last.path, last.whole.md5, pathDoubt(last.path));
}

/** A path that no user could have given names nothing. */
function pathDoubt(path: string): string | undefined {
  try {
    return parseFilePath(path) === '/' ? 'it names the root' : undefined;
  } catch {
    return 'its path is no valid one';
  }
}

/** One blob as a file of its own: its bytes are good, only their place is not known. */
const pieceOf = (blob: JudgedBlob, why: string): FoundFile =>
  foundOf(
    [blob],
    blob.blobId as string as FileId,
    `${pathDoubt(blob.path) === undefined ? blob.path : ''}/${blob.fileId}.part-${String(blob.sequence).padStart(5, '0')}`,
    blob.md5,
    why,
  );

function foundOf(
  blobs: readonly JudgedBlob[],
  id: FileId,
  path: string,
  md5: string,
  doubt: string | undefined,
): FoundFile {
  const last = blobs.at(-1) as JudgedBlob;
  let offsetBytes = 0;
  const file: FileRecord = {
    id,
    sizeBytes: blobs.reduce((sum, blob) => sum + blob.sizeBytes, 0),
    md5,
    contentType: last.contentType,
    attributes: {},
    createdAtMs: last.createdAtMs,
    blobs: blobs.map(({ blobId, sizeBytes, md5: blobMd5 }) => {
      const blob = { blobId, offsetBytes, sizeBytes, md5: blobMd5 };
      offsetBytes += sizeBytes;
      return blob;
    }),
  };
  return {
    file,
    path,
    storedAtMs: last.storedAtMs,
    holders: blobs.map((blob) => blob.nodeIds),
    ...(doubt === undefined ? {} : { doubt }),
  };
}

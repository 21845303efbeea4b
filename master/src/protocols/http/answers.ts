import {
  type FilePath,
  type ListAnswer,
  type ListAnswerEntry,
  type NodeId,
  type NodeName,
  type PutAnswer,
  type StatAnswer,
  type UsageAnswer,
  urlPathOf,
} from '@dfs/shared';
import type { FileInfo } from '../../files/file-types.ts';
import type { Entry, ListedEntry, NamedEntry } from '../../metadata/metadata-repository.ts';
import type { Usage } from '../../metadata/tree-changes.ts';

export const isoTime = (ms: number) => new Date(ms).toISOString();

/** Where a path is read over HTTP; percent-encoded. */
export const fsUrlOf = (path: FilePath) => `/fs${urlPathOf(path)}`;

/** A repeated put may find its primary lost and no copy promoted yet. */
const unknownNode: NodeName = { id: '' as NodeId, name: '' };

export function putAnswerOf(info: FileInfo): PutAnswer {
  const { file } = info;
  return {
    path: info.path,
    id: file.id,
    size: file.sizeBytes,
    md5: file.md5,
    contentType: file.contentType,
    primary: info.primary ?? unknownNode,
    copies: info.copies,
  };
}

export function statAnswerOf(info: FileInfo): StatAnswer {
  const { file, entry } = info;
  return {
    path: info.path,
    kind: 'file',
    created: isoTime(entry.createdAtMs),
    modified: isoTime(entry.modifiedAtMs),
    public: info.isPublic,
    ...visibilityOf(entry),
    id: file.id,
    size: file.sizeBytes,
    md5: file.md5,
    contentType: file.contentType,
    attributes: file.attributes,
    ...(info.primary === undefined ? {} : { primary: info.primary }),
    copies: info.copies,
    ...copiesSetOf(entry),
    blobs: file.blobs.map((blob) => ({
      id: blob.blobId,
      offset: blob.offsetBytes,
      size: blob.sizeBytes,
      md5: blob.md5,
    })),
  };
}

export const directoryStatOf = ({ path, entry, isPublic }: NamedEntry): StatAnswer => ({
  path,
  kind: 'directory',
  created: isoTime(entry.createdAtMs),
  modified: isoTime(entry.modifiedAtMs),
  public: isPublic,
  ...visibilityOf(entry),
  ...copiesSetOf(entry),
});

const visibilityOf = ({ visibility }: Entry) => (visibility === 'inherit' ? {} : { visibility });

const copiesSetOf = ({ copies }: Entry) => (copies === undefined ? {} : { copiesSet: copies });

interface AfterEntries {
  readonly next: string | undefined;
  readonly usage: Usage | undefined;
}

export const listAnswerOf = (
  path: FilePath,
  entries: readonly ListedEntry[],
  more: AfterEntries,
): ListAnswer => ({
  path,
  entries: entries.map(listAnswerEntryOf),
  ...afterEntries(path, more),
});

const afterEntries = (path: FilePath, { next, usage }: AfterEntries) => ({
  ...(usage === undefined ? {} : { usage: usageAnswerOf(path, usage) }),
  ...(next === undefined ? {} : { next }),
});

/** The text of a `ListAnswer` in parts: a head, runs of entries, a tail. */
export const listAnswerHead = (path: FilePath) => `{"path":${JSON.stringify(path)},"entries":[`;
export function listAnswerRun(entries: readonly ListedEntry[], isFirst: boolean): string {
  const text = JSON.stringify(entries.map(listAnswerEntryOf)).slice(1, -1);
  return isFirst || text === '' ? text : `,${text}`;
}
export function listAnswerTail(path: FilePath, more: AfterEntries): string {
  const text = JSON.stringify(afterEntries(path, more));
  return text === '{}' ? ']}\n' : `],${text.slice(1)}\n`;
}

export const usageAnswerOf = (
  path: FilePath,
  { files, directories, bytes }: Usage,
): UsageAnswer => ({ path, files, directories, bytes });

const listAnswerEntryOf = (entry: ListedEntry): ListAnswerEntry => ({
  name: entry.name,
  kind: entry.kind,
  modified: isoTime(entry.modifiedAtMs),
  public: entry.isPublic,
  ...(entry.file
    ? {
        id: entry.file.id,
        size: entry.file.sizeBytes,
        md5: entry.file.md5,
        contentType: entry.file.contentType,
      }
    : {}),
});

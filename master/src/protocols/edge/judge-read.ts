import {
  type Opening,
  parseFileId,
  parseUrlPath,
  type ReadAnswer,
  type ReadQuestion,
} from '@dfs/shared';
import { parseTarget } from '@dfs/shared/serving';
import type { FileRef } from '../../files/file-types.ts';
import { byIdMount, checkServing, type Front, filesMount } from '../http/front.ts';
import { isDownloadBy } from '../http/get-file.ts';
import { findReadable, type ReadableFile } from '../http/lookup.ts';
import { readMounts } from '../text-api/read-file.ts';
import { parseReference } from '../text-api/reference.ts';
import { askerOf } from './asker.ts';

/** How long a node may use an answer again while the master answers, ms. */
const validForMs = 10_000;
/** A file of more blobs than this goes through the master: their list would cost more than it spares. */
const blobsMax = 256;

/**
 * Whether a client of a node may have the bytes that it asks for, and where they are. Everything else, refusals too, is the master's own to answer: `forward`. Rejects with
 * whatever refuses it.
 */
export async function judgeRead(front: Front, question: ReadQuestion): Promise<ReadAnswer> {
  const { path, query, authority } = parseTarget(question.target);
  const read = readOf(path);
  const parameters = new URLSearchParams(query);
  // Which copy is wanted, or where one is: the master knows that.
  if (!read || parameters.has('redirect') || parameters.has('avoid')) return forward;
  checkServing(front.nodes);
  const asker = askerOf(front, question, {
    ...{ method: question.method, query: parameters, authority },
    isAskedAhead: true,
  });
  const { named, opening } = await findReadable(front, asker, read.ref);
  if (named.file.blobs.length > blobsMax) return forward;
  const isDownload = parameters.get('download') === '1' || isDownloadBy(opening);
  return permitOf(
    front,
    { named, opening },
    { isDownload: isDownload || read.shown === 'attachment', isById: !isByName(read) },
  );
}

/** The file whose bytes a GET of this path asks for; undefined when it asks for something else. Rejects with `invalid-path`. */
function readOf(path: string): Read | undefined {
  if (path.startsWith(byIdMount)) return { ref: { id: parseFileId(path.slice(byIdMount.length)) } };
  for (const call of ['stream', 'download'] as const) {
    if (!path.startsWith(readMounts[call])) continue;
    const shown = call === 'download' ? 'attachment' : 'inline';
    return { ref: { path: parseReference(path.slice(readMounts[call].length)).path }, shown };
  }
  if (!path.startsWith(`${filesMount}/`) || path.endsWith('/')) return undefined;
  return { ref: { path: parseUrlPath(path.slice(filesMount.length)).path } };
}

interface Read {
  readonly ref: FileRef;
  /** Of an address that does not end in the file's name. */
  readonly shown?: 'inline' | 'attachment';
}

const isByName = ({ ref, shown }: Read) => 'path' in ref && shown === undefined;

const forward: ReadAnswer = { kind: 'forward' };

async function permitOf(
  { files, clock }: Front,
  { named, opening }: ReadableFile,
  shown: { readonly isDownload: boolean; readonly isById: boolean },
): Promise<ReadAnswer> {
  const { file, entry, path, isPublic } = named;
  const sources = await files.sources(file);
  const { id, sizeBytes, md5, contentType, attributes } = file;
  const { modifiedAtMs } = entry;
  return {
    kind: 'read',
    file: {
      ...{ id, path, sizeBytes, md5, contentType, attributes, modifiedAtMs, isPublic },
      ...shown,
      blobs: file.blobs.map((blob) => ({ ...blob, sources: sources.get(blob.blobId) ?? [] })),
    },
    opening,
    validForMs: Math.min(validForMs, leftMs(opening, clock.now())),
  };
}

/** How long it opens by itself, ms. */
const leftMs = (opening: Opening, nowMs: number) =>
  'expiresAtMs' in opening ? Math.max(0, opening.expiresAtMs - nowMs) : Number.POSITIVE_INFINITY;

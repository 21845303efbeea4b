import { baseNameOf } from '../file-path.ts';
import { attributeHeaders } from './attributes.ts';
import { dispositionOf } from './disposition.ts';
import { etagOf } from './etag.ts';
import { harmlessHeaders } from './harmless.ts';
import type { ServedFile } from './served-file.ts';

/** What the answer to a GET of a file says of it. */
export interface FileHeaders {
  /** On every answer that is about this content, 304 included. */
  readonly common: Readonly<Record<string, string>>;
  /** Only where the whole content is sent. */
  readonly whole: Readonly<Record<string, string>>;
}

export interface FileHeadersRequest {
  readonly requestId: string;
  /** To be saved rather than shown. */
  readonly isDownload: boolean;
  /** The URL does not end in the file's name. */
  readonly isById: boolean;
}

export function fileHeadersOf(file: ServedFile, request: FileHeadersRequest): FileHeaders {
  const common: Record<string, string> = {
    ETag: etagOf(file.md5),
    'Last-Modified': httpDateOf(file.modifiedAtMs),
    'Accept-Ranges': 'bytes',
    'Cache-Control': file.isPublic ? 'no-cache' : 'private, no-cache',
    'X-DFS-Id': file.id,
    'X-DFS-MD5': file.md5,
    'X-Request-Id': request.requestId,
    ...harmlessHeaders(file.contentType),
  };
  for (const [name, value] of attributeHeaders(file.attributes)) common[name] = value;
  if (request.isDownload || request.isById) {
    common['Content-Disposition'] = dispositionOf(
      baseNameOf(file.path),
      request.isDownload ? 'attachment' : 'inline',
    );
  }
  return {
    common,
    whole: { 'Content-MD5': Buffer.from(file.md5, 'hex').toString('base64') },
  };
}

let last = { second: -1, text: '' };

/** Making a date costs more than the rest of a small answer, and files written together share theirs. */
export function httpDateOf(ms: number): string {
  const second = Math.floor(ms / 1000);
  if (last.second !== second) last = { second, text: new Date(second * 1000).toUTCString() };
  return last.text;
}

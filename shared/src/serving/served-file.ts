import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import type { ByteRange } from '../byte-range.ts';
import type { FilePath } from '../file-path.ts';
import type { FileId, NodeId } from '../ids.ts';

/** What an answer says of a file beside its bytes. */
export interface ServedFile {
  readonly id: FileId;
  readonly path: FilePath;
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly md5: string;
  readonly contentType: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly modifiedAtMs: number;
  readonly isPublic: boolean;
}

/** A run of a file's bytes on its way. */
export interface ServedBytes {
  /** The node that the first byte comes from. */
  readonly nodeId: NodeId;
  /** Ends after exactly the asked range, or fails. */
  readonly bytes: Readable;
  /** All of it, when it is short: whoever can send bytes at once takes these and leaves `bytes` alone. */
  readonly content?: Uint8Array;
  /** Sends all of it and ends the response, better than by `bytes`; settles once it is out or the reader gone. Call one of the two. */
  readonly sendTo?: (response: ServerResponse) => Promise<void>;
}

/** A GET or HEAD and its answer, as far as sending a file goes. */
export interface ReadExchange {
  readonly request: Pick<IncomingMessage, 'headers'>;
  readonly response: ServerResponse;
  /** Stands in the answer. */
  readonly id: string;
  readonly isHead: boolean;
  /** Aborted when the reader goes away. */
  readonly signal: AbortSignal;
  /** Set to the node that the bytes come from. */
  nodeId: NodeId | undefined;
}

export interface FileServing {
  /** To be saved rather than shown. */
  readonly isDownload: boolean;
  /** The URL does not end in the file's name. */
  readonly isById: boolean;
  /** The server's clock, ms since 1970. */
  readonly nowMs: number;
  /** How long a reader may take nothing before it is cut off, ms. */
  readonly downloadIdleMs: number;
  /** Opens the whole file, or the bytes of a range that lies inside it. Rejects before the first byte. */
  readonly open: (range: ByteRange | undefined) => Promise<ServedBytes>;
}

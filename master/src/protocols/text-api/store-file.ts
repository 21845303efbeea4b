import { baseNameOf, type FilePath, parseFilePath, StoreError } from '@dfs/shared';
import { sendText } from '@dfs/shared/serving';
import type { Request } from 'express';
import type { StagedFile } from '../../files/file-types.ts';
import { guessContentType } from '../http/content-type.ts';
import type { Exchange } from '../http/exchange.ts';
import { chosenType, cutOff, isCut } from '../http/form-upload.ts';
import { checkServing, type Front } from '../http/front.ts';
import { type FormFields, type FormFile, receiveForm, textsOf } from '../http/receive-form.ts';
import { RequestBody } from '../http/request-body.ts';
import { referenceOf } from './reference.ts';
import { somewhere } from './somewhere.ts';

const missing = () => new StoreError('invalid-request', 'Missing Parameters');
const taken = (cause: unknown) => new StoreError('conflict', 'Filename Taken', { cause });

const parts: ReadonlySet<string | undefined> = new Set(['file', 'filename', 'mode', 'override']);

/**
 * `POST /api/v1/store`: a form with a `file` and its `filename`; `mode` public (unless said otherwise) or private; `override` true replaces what has that name. Answers the
 * reference of the file. The fields may come in any order, so the name is judged when all of it came, and nothing has that name before.
 */
export async function storeFile(front: Front, exchange: Exchange, request: Request): Promise<void> {
  const { access, config, files, nodes } = front;
  access.authorize(exchange.principal, 'write', somewhere(exchange));
  checkServing(nodes);
  if (!request.is('multipart/form-data')) throw missing();
  exchange.inviteBody();
  const body = new RequestBody(exchange.request, { idleMs: config.uploadIdleMs });
  const upload = new OneFile(front, exchange);
  try {
    const isWanted = (name: string | undefined) => parts.has(name);
    const fields = await receiveForm(request, body, { takeFile: upload.take, isWanted });
    const settings = readSettings(fields);
    if (!upload.isThere || !settings) throw missing();
    access.authorize(exchange.principal, 'write', { path: settings.path });
    const [outcome] = await files.bind([upload.with(settings)]);
    upload.isBound = true;
    if (!outcome) throw new StoreError('internal', 'A bound file has no outcome.');
    const { path, primary } = outcome.info;
    exchange.nodeId = primary?.id;
    sendText(exchange, referenceOf(path, primary ?? { id: '', name: config.instanceName }));
  } catch (error) {
    const isTaken = error instanceof StoreError && error.kind === 'precondition-failed';
    throw isTaken ? taken(error) : error;
  } finally {
    upload.giveUp();
    body.destroy();
  }
}

interface Settings {
  readonly path: FilePath;
  readonly isPublic: boolean;
  readonly onConflict: 'replace' | 'fail';
}

/** The file of the form, passed on to nodes while it comes in. */
class OneFile {
  readonly #front: Front;
  readonly #exchange: Exchange;
  readonly #stop = new AbortController();
  #taken: { readonly staged: StagedFile; readonly sentType: string } | undefined;
  isThere = false;
  isBound = false;

  constructor(front: Front, exchange: Exchange) {
    this.#front = front;
    this.#exchange = exchange;
  }

  readonly take = async (file: FormFile, fields: FormFields): Promise<void> => {
    if (file.fieldName !== 'file' || this.isThere) {
      throw new StoreError('invalid-request', 'The form holds more than one file.', {
        hint: 'Send one in the field "file" with each call.',
      });
    }
    this.isThere = true;
    const { access, files } = this.#front;
    const { principal, signal } = this.#exchange;
    // Most senders write the name after the file: then what its part says stands in for it on the node's disk.
    const known = readSettings(fields);
    if (known) access.authorize(principal, 'write', { path: known.path });
    const path = known?.path ?? standIn(file.name);
    const staged = await files.stage({
      path,
      body: file.bytes,
      contentType: typeOf(path, file.mediaType),
      onConflict: known?.onConflict ?? 'rename',
      signal: AbortSignal.any([signal, this.#stop.signal]),
    });
    const isUnwanted = this.#stop.signal.aborted;
    if (isUnwanted || isCut(file.bytes)) {
      files.discard([staged]);
      throw cutOff(file.name);
    }
    this.#taken = { staged, sentType: file.mediaType };
  };

  /** The file, to be bound with these settings. */
  with(settings: Settings): StagedFile {
    if (!this.#taken) throw new StoreError('internal', 'There is no file to bind.');
    const { staged, sentType } = this.#taken;
    return {
      ...staged,
      request: { ...staged.request, ...settings },
      file: { ...staged.file, contentType: typeOf(settings.path, sentType) },
    };
  }

  /** Lets go of what was not bound. */
  giveUp(): void {
    if (this.isBound) return;
    this.#stop.abort();
    if (this.#taken) this.#front.files.discard([this.#taken.staged]);
  }
}

/** What the fields say so far; undefined while there is no name. Rejects with `invalid-request` and `invalid-path`. */
function readSettings(fields: FormFields): Settings | undefined {
  const name = textsOf(fields, 'filename').at(-1);
  if (name === undefined) return undefined;
  return {
    path: readName(name),
    isPublic: readMode(textsOf(fields, 'mode').at(-1)),
    onConflict: isTrue(textsOf(fields, 'override').at(-1)) ? 'replace' : 'fail',
  };
}

function readName(name: string): FilePath {
  if (!/^\/|\/$/.test(name)) return parseFilePath(name);
  throw new StoreError('invalid-path', 'The filename begins or ends with a slash.', {
    hint: 'Write the path without it: films/video.mp4.',
  });
}

function readMode(text = 'public'): boolean {
  const mode = text.trim().toLowerCase();
  if (mode === 'public' || mode === 'private') return mode === 'public';
  throw new StoreError('invalid-request', 'Invalid Mode: it is public or private.');
}

const isTrue = (text = '') => text.trim().toLowerCase() === 'true';

/** By the name; where that tells nothing, as the sender has it. */
function typeOf(path: FilePath, sent: string): string {
  const guessed = guessContentType(baseNameOf(path));
  return guessed === 'application/octet-stream' ? (chosenType(sent) ?? guessed) : guessed;
}

function standIn(name: string): FilePath {
  try {
    return parseFilePath(baseNameOf(name.replaceAll('\\', '/') as FilePath) || 'upload');
  } catch {
    return parseFilePath('upload');
  }
}

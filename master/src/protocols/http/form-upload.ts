import { type FilePath, StoreError } from '@dfs/shared';
import type { Request } from 'express';
import multer from 'multer';
import type { FileService, PutOutcome, StagedFile } from '../../files/file-types.ts';
import type { OnConflict } from '../../metadata/metadata-repository.ts';
import { parseHexMd5 } from './body-digest.ts';
import { contentTypeOf, isMediaType } from './content-type.ts';
import type { RequestBody } from './request-body.ts';

/** Limits of one form. Of a file's length there is none: `multer` would cut a file there and call it whole. */
const limits = {
  files: 1_000,
  fields: 2_100,
  parts: 3_100,
  fieldNameSize: 600,
  fieldSize: 4_096,
  fieldNestingDepth: 1,
  fieldArrayIndexLimit: 0,
  headerPairs: 100,
};
/** Files on their way to nodes at a time; the next ones wait in the form's own order. */
const stagesMax = 8;

export interface FormUploadDependencies {
  readonly files: FileService;
  /** Where the files go, by the name that each part gives. */
  readonly pathOf: (name: string) => FilePath;
  /** What the address says; a field of the form says it over. */
  readonly onConflict: OnConflict;
  readonly isPublic: boolean | undefined;
  readonly signal: AbortSignal;
  /** Reads the fields that say it over. */
  readonly readFields: (fields: Readonly<Record<string, unknown>>) => FormSettings;
}

export interface FormSettings {
  readonly onConflict?: OnConflict | undefined;
  readonly isPublic?: boolean | undefined;
}

/** One file of the form. */
interface Part {
  readonly fieldName: string;
  readonly name: string;
  /** How many `md5` fields came before this file. */
  readonly md5sBefore: number;
  readonly staged: Promise<StagedFile>;
}

/**
 * One multipart form on its way into the store: multer's storage engine, which passes each file on to nodes while it comes in, and what follows
 * once all of it came: digests are compared and all names bound, or none.
 */
export class FormUpload implements multer.StorageEngine {
  readonly #deps: FormUploadDependencies;
  readonly #parts: Part[] = [];
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #turns = new Turns(stagesMax);
  #fail: (error: unknown) => void = () => undefined;

  constructor(dependencies: FormUploadDependencies) {
    this.#deps = dependencies;
    this.#signal = AbortSignal.any([dependencies.signal, this.#stop.signal]);
  }

  /**
   * Takes in the whole form and binds its files. Rejects as soon as anything fails, while the rest of the form may still be coming; nothing is bound
   * then and what was staged is given up. Rejects with `invalid-request` for what is no form, `digest-mismatch`, and as the store does.
   */
  async store(request: Request, body: RequestBody): Promise<readonly PutOutcome[]> {
    try {
      await this.#receive(request, body);
      const fields = request.body as Readonly<Record<string, unknown>>;
      return await this.#bind(fields);
    } catch (error) {
      this.#giveUp();
      throw error;
    }
  }

  // multer calls the next two, and calls them so.

  _handleFile(
    request: Request,
    file: Express.Multer.File,
    done: (error?: unknown, info?: Partial<Express.Multer.File>) => void,
  ): void {
    const { originalname: name, fieldname: fieldName } = file;
    const md5sBefore = textsOf(request.body, 'md5').length;
    const staged = this.#stage(file);
    this.#parts.push({ name, fieldName, md5sBefore, staged });
    staged.then(
      () => done(undefined, {}),
      (error) => {
        this.#fail(error);
        done(error);
      },
    );
  }

  /** Nothing to do: giving up is for the form as a whole. */
  _removeFile(_request: Request, _file: Express.Multer.File, done: (error: null) => void): void {
    done(null);
  }

  async #receive(request: Request, body: RequestBody): Promise<void> {
    const options: multer.Options & Record<string, unknown> = {
      storage: this,
      limits,
      defParamCharset: 'utf8',
      // A name is judged as it was sent, not cut down to what follows its last slash.
      preservePath: true,
      streamHandler: (
        _request: Request,
        parser: NodeJS.WritableStream & { destroy(e: Error): void },
      ) => {
        body.once('error', (error) => {
          this.#fail(error);
          parser.destroy(error);
        });
        body.pipe(parser);
      },
    };
    await new Promise<void>((resolve, reject) => {
      // multer reads a refused form to its end before it says so; the client is to know at once.
      this.#fail = (error) => reject(formErrorOf(error));
      multer(options).any()(request, request.res as never, (error: unknown) => {
        if (error) this.#fail(error);
        else resolve();
      });
    });
  }

  async #stage(file: Express.Multer.File): Promise<StagedFile> {
    const { files, onConflict, isPublic, pathOf } = this.#deps;
    const { originalname: name, stream, mimetype } = file;
    try {
      const path = pathOf(name);
      await this.#turns.take();
      try {
        if (this.#signal.aborted) throw new StoreError('cancelled', 'The form was given up.');
        const staged = await files.stage({
          path,
          body: stream,
          contentType: contentTypeOf(chosenType(mimetype), name),
          onConflict,
          ...(isPublic === undefined ? {} : { isPublic }),
          signal: this.#signal,
        });
        // A file that a limit cut off ends as if it were whole.
        const isCut = (stream as { truncated?: boolean }).truncated === true;
        if (!isCut) return staged;
        files.discard([staged]);
        throw new StoreError(
          'incomplete-body',
          `The file ${JSON.stringify(name)} came in part only.`,
        );
      } finally {
        this.#turns.give();
      }
    } catch (error) {
      stream.resume();
      throw error;
    }
  }

  async #bind(fields: Readonly<Record<string, unknown>>): Promise<readonly PutOutcome[]> {
    if (this.#parts.length === 0) {
      throw new StoreError('invalid-request', 'The form holds no file.', {
        hint: 'Send at least one part with a file name.',
      });
    }
    const { onConflict, isPublic } = this.#deps.readFields(fields);
    const staged = await Promise.all(this.#parts.map((part) => part.staged));
    this.#checkDigests(fields, staged);
    return await this.#deps.files.bind(
      staged.map((file) => ({
        ...file,
        request: {
          ...file.request,
          ...(onConflict === undefined ? {} : { onConflict }),
          ...(isPublic === undefined ? {} : { isPublic }),
        },
      })),
    );
  }

  /**
   * A field `md5` is of the file before it, so that a sender can hash while it sends; one before all files is of the first. A field `<name of the file's
   * field>.md5` is of the file in that field, wherever it stands. Rejects with `digest-mismatch` when any differs.
   */
  #checkDigests(fields: Readonly<Record<string, unknown>>, staged: readonly StagedFile[]): void {
    const md5s = textsOf(fields, 'md5');
    for (const [index, part] of this.#parts.entries()) {
      const from = index === 0 ? 0 : part.md5sBefore;
      const to = this.#parts[index + 1]?.md5sBefore ?? md5s.length;
      const expected = [...md5s.slice(from, to), ...textsOf(fields, `${part.fieldName}.md5`)];
      const md5 = staged[index]?.file.md5;
      for (const text of expected) {
        if (parseHexMd5('The field md5', text) === md5) continue;
        throw new StoreError(
          'digest-mismatch',
          `The bytes of ${JSON.stringify(part.name)} have the MD5 ${md5}, and the form says ${text}.`,
          { hint: 'Nothing of the form was stored: send it again.' },
        );
      }
    }
  }

  #giveUp(): void {
    this.#stop.abort();
    for (const { staged } of this.#parts) {
      staged.then(
        (file) => this.#deps.files.discard([file]),
        // It was never staged.
        () => undefined,
      );
    }
  }
}

/** Lets so many in at a time, in the order in which they came. */
class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(free: number) {
    this.#free = free;
  }

  async take(): Promise<void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free += 1;
  }
}

/** The texts of a field, which may stand there once, several times, or not at all. */
export function textsOf(fields: unknown, name: string): string[] {
  const value = (fields as Readonly<Record<string, unknown>> | undefined)?.[name];
  const values: unknown[] = Array.isArray(value) ? value : value === undefined ? [] : [value];
  return values.flatMap((text) => (typeof text === 'string' && text.trim() !== '' ? [text] : []));
}

/** What a browser says of a file that it knows nothing about is no choice of anyone. */
const chosenType = (type: string) =>
  isMediaType(type) && type !== 'application/octet-stream' ? type : undefined;

function formErrorOf(error: unknown): unknown {
  if (error instanceof StoreError) return error;
  const { message, code } = error as { message?: unknown; code?: unknown };
  const isLimit = typeof code === 'string' && code.startsWith('LIMIT_');
  if (/^Unexpected end|^Request (aborted|closed)/.test(String(message))) {
    return new StoreError('incomplete-body', 'The form ends before its last boundary.', {
      cause: error,
    });
  }
  return new StoreError(
    isLimit ? 'too-large' : 'invalid-request',
    isLimit ? `The form is too large: ${message}.` : `The form cannot be read: ${message}.`,
    {
      hint: isLimit
        ? `Send at most ${limits.files} files at once, with short fields.`
        : 'Send multipart/form-data as RFC 7578 defines it.',
      cause: error,
    },
  );
}

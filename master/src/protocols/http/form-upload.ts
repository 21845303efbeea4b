import { type FilePath, StoreError } from '@dfs/shared';
import type { Request } from 'express';
import type { FileService, PutOutcome, StagedFile } from '../../files/file-types.ts';
import type { OnConflict } from '../../metadata/metadata-repository.ts';
import { parseHexMd5 } from './body-digest.ts';
import { contentTypeOfPart, isMediaType } from './content-type.ts';
import { type FormFields, type FormFile, receiveForm, textsOf } from './receive-form.ts';
import type { RequestBody } from './request-body.ts';

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
  readonly readFields: (fields: FormFields) => FormSettings;
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
 * One multipart form on its way into the store: each file is passed on to nodes while it comes in; once all of it came, digests are compared and all names
 * bound, or none.
 */
export class FormUpload {
  readonly #deps: FormUploadDependencies;
  readonly #parts: Part[] = [];
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #turns = new Turns(stagesMax);

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
      const fields = await receiveForm(request, body, { takeFile: this.#take });
      return await this.#bind(fields);
    } catch (error) {
      this.#giveUp();
      throw error;
    }
  }

  readonly #take = async (file: FormFile, fields: FormFields): Promise<void> => {
    const { name, fieldName } = file;
    const md5sBefore = textsOf(fields, 'md5').length;
    const staged = this.#stage(file);
    this.#parts.push({ name, fieldName, md5sBefore, staged });
    await staged;
  };

  async #stage({ name, bytes, mediaType }: FormFile): Promise<StagedFile> {
    const { files, onConflict, isPublic, pathOf } = this.#deps;
    const path = pathOf(name);
    await this.#turns.take();
    try {
      if (this.#signal.aborted) throw new StoreError('cancelled', 'The form was given up.');
      const staged = await files.stage({
        path,
        body: bytes,
        contentType: contentTypeOfPart(chosenType(mediaType), name),
        onConflict,
        ...(isPublic === undefined ? {} : { isPublic }),
        signal: this.#signal,
      });
      if (!isCut(bytes)) return staged;
      files.discard([staged]);
      throw cutOff(name);
    } finally {
      this.#turns.give();
    }
  }

  async #bind(fields: FormFields): Promise<readonly PutOutcome[]> {
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
  #checkDigests(fields: FormFields, staged: readonly StagedFile[]): void {
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

/** A file that a limit cut off ends as if it were whole. */
export const isCut = (bytes: unknown) => (bytes as { truncated?: boolean }).truncated === true;
export const cutOff = (name: string) =>
  new StoreError('incomplete-body', `The file ${JSON.stringify(name)} came in part only.`);

/** What a browser says of a file that it knows nothing about is no choice of anyone. */
export const chosenType = (type: string) =>
  isMediaType(type) && type !== 'application/octet-stream' ? type : undefined;

import type { Readable } from 'node:stream';
import { StoreError } from '@dfs/shared';
import type { Request } from 'express';
import multer from 'multer';
import { boundaryOf, NamedParts } from './named-parts.ts';
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

/** What came in fields without files: a text, or several under one name. */
export type FormFields = Readonly<Record<string, unknown>>;

/** One file of a form, while it comes in. */
export interface FormFile {
  readonly fieldName: string;
  /** As it was sent, not cut down to what follows its last slash. */
  readonly name: string;
  readonly mediaType: string;
  readonly bytes: Readable;
}

export interface FormReader {
  /** Takes a file's bytes; the form goes on when they are read. `fields` are those that came before it. */
  readonly takeFile: (file: FormFile, fields: FormFields) => Promise<void>;
  /** Which parts are looked at, by their names; the others are passed over. Absent: all, and a part without a name is refused. */
  readonly isWanted?: (name: string | undefined) => boolean;
}

/**
 * Reads a multipart form as a stream. Resolves with its fields when all of it came and each file was taken. Rejects as soon as anything fails, while the rest may still
 * be coming: `invalid-request`, `incomplete-body`, `too-large`, and whatever `takeFile` rejects with.
 */
export async function receiveForm(
  request: Request,
  body: RequestBody,
  { takeFile, isWanted }: FormReader,
): Promise<FormFields> {
  let fail: (error: unknown) => void = () => undefined;
  const storage: multer.StorageEngine = {
    _handleFile(_request, file, done) {
      const { fieldname: fieldName, originalname: name, mimetype: mediaType, stream } = file;
      takeFile({ fieldName, name, mediaType, bytes: stream }, request.body as FormFields).then(
        () => done(undefined, {}),
        (error) => {
          stream.resume();
          fail(error);
          done(error);
        },
      );
    },
    /** Nothing to do: giving up is for the form as a whole. */
    _removeFile(_request, _file, done) {
      done(null);
    },
  };
  const boundary = isWanted && chooseBoundary(request);
  const parts = boundary && isWanted ? new NamedParts(boundary, isWanted) : undefined;
  const options: multer.Options & Record<string, unknown> = {
    storage,
    limits,
    defParamCharset: 'utf8',
    preservePath: true,
    streamHandler: (_request: Request, parser: Parser) => {
      const stop = (error: Error) => {
        fail(error);
        parts?.destroy(error);
        parser.destroy(error);
      };
      body.once('error', stop);
      parts?.once('error', stop);
      if (parts) body.pipe(parts).pipe(parser);
      else body.pipe(parser);
    },
  };
  await new Promise<void>((resolve, reject) => {
    // multer reads a refused form to its end before it says so; the client is to know at once.
    fail = (error) => reject(formErrorOf(error));
    multer(options).any()(request, request.res as never, (error: unknown) => {
      if (error) fail(error);
      else resolve();
    });
  });
  return request.body as FormFields;
}

type Parser = NodeJS.WritableStream & { destroy(error: Error): void };

/** Some clients send a type of their own without a boundary beside the one that has it. The parser is to see that one. */
function chooseBoundary({ headers, rawHeaders }: Request): string | undefined {
  const types = [headers['content-type'] ?? ''];
  for (const [index, name] of rawHeaders.entries()) {
    if (index % 2 === 0 && name.toLowerCase() === 'content-type') {
      types.push(rawHeaders[index + 1] ?? '');
    }
  }
  const type = types.find((each) => boundaryOf(each) !== undefined);
  if (type !== undefined) headers['content-type'] = type;
  return boundaryOf(type);
}

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

/** The texts of a field, which may stand there once, several times, or not at all. */
export function textsOf(fields: unknown, name: string): string[] {
  const value = (fields as FormFields | undefined)?.[name];
  const values: unknown[] = Array.isArray(value) ? value : value === undefined ? [] : [value];
  return values.flatMap((text) => (typeof text === 'string' && text.trim() !== '' ? [text] : []));
}

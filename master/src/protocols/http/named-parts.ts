import { Transform, type TransformCallback } from 'node:stream';
import { StoreError } from '@dfs/shared';

/** Headers of one part; who writes more is stopped. */
const headMaxBytes = 16 * 2 ** 10;
const lineEnd = Buffer.from('\r\n');
const headEnd = Buffer.from('\r\n\r\n');
const dashes = Buffer.from('--');

/**
 * Passes the bytes of a multipart body (RFC 2046 section 5.1) on without the parts that `isWanted` says no to, of which no byte goes further: a parser that gives up a
 * whole form for one part without a name never sees that part. Holds at most the headers of a part. Fails with `invalid-request` when those are too long.
 */
export class NamedParts extends Transform {
  readonly #delimiter: Buffer;
  readonly #isWanted: (name: string | undefined) => boolean;
  #state: 'content' | 'head' | 'end' = 'content';
  #isPassing = true;
  /** Not judged yet. The first delimiter has no line end before it: this is one that is taken away again. */
  #pending: Buffer = lineEnd;
  #takeAway = lineEnd.length;

  /** `isWanted` gets the name of a part, undefined where it has none. */
  constructor(boundary: string, isWanted: (name: string | undefined) => boolean) {
    super();
    this.#delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
    this.#isWanted = isWanted;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    try {
      while (this.#step());
      done();
    } catch (error) {
      done(error as Error);
    }
  }

  override _flush(done: TransformCallback): void {
    if (this.#isPassing) this.#pass(this.#pending);
    done();
  }

  /** True when there may be more to do with what is there. */
  #step(): boolean {
    switch (this.#state) {
      case 'content':
        return this.#takeContent();
      case 'head':
        return this.#takeHead();
      case 'end':
        this.#pass(this.#take(this.#pending.length));
        return false;
    }
  }

  #takeContent(): boolean {
    const at = this.#pending.indexOf(this.#delimiter);
    const isFound = at >= 0;
    // What may be the beginning of a delimiter waits for its end.
    const length = isFound ? at : Math.max(0, this.#pending.length - this.#delimiter.length + 1);
    const content = this.#take(length);
    if (this.#isPassing) this.#pass(content);
    if (isFound) this.#state = 'head';
    return isFound;
  }

  #takeHead(): boolean {
    const from = this.#delimiter.length;
    if (this.#pending.length < from + dashes.length) return false;
    if (this.#pending.subarray(from, from + dashes.length).equals(dashes)) {
      this.#state = 'end';
      return true;
    }
    const end = this.#pending.indexOf(headEnd, from);
    if (end < 0) {
      if (this.#pending.length - from <= headMaxBytes) return false;
      throw new StoreError('invalid-request', 'The headers of a part of the form are too long.', {
        hint: 'Send multipart/form-data as RFC 7578 defines it.',
      });
    }
    this.#isPassing = this.#isWanted(partNameOf(this.#pending.toString('latin1', from, end)));
    // The line end after the headers may be that of the next delimiter, when the part is empty.
    const head = this.#take(end + lineEnd.length);
    if (this.#isPassing) this.#pass(head);
    this.#state = 'content';
    return true;
  }

  #take(length: number): Buffer {
    const taken = this.#pending.subarray(0, length);
    this.#pending = this.#pending.subarray(length);
    return taken;
  }

  #pass(bytes: Buffer): void {
    const rest = bytes.subarray(this.#takeAway);
    this.#takeAway -= Math.min(this.#takeAway, bytes.length);
    if (rest.length > 0) this.push(rest);
  }
}

const disposition = /^content-disposition[ \t]*:[ \t]*form-data\b([^\r\n]*)/im;
const parameter = /;\s*([^\s=;]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)/g;

/** The name in the headers of a part; undefined where there is none or an empty one. */
export function partNameOf(head: string): string | undefined {
  const [, parameters = ''] = disposition.exec(head.replace(/\r\n[ \t]+/g, ' ')) ?? [];
  for (const [, key = '', value = ''] of parameters.matchAll(parameter)) {
    if (key.toLowerCase() !== 'name') continue;
    const text = value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, '$1') : value.trim();
    return text === '' ? undefined : text;
  }
  return undefined;
}

/** The boundary that a `Content-Type` of a form names, undefined where it names none. */
export function boundaryOf(contentType: string | undefined): string | undefined {
  const match =
    /^multipart\/form-data\s*;(?:.*;)?\s*boundary\s*=\s*(?:"([^"]{1,200})"|([^\s;]{1,200}))/i.exec(
      contentType ?? '',
    );
  return match?.[1] ?? match?.[2];
}

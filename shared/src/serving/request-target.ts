import { StoreError } from '../errors.ts';

/** What a request line asks for, still percent-encoded. */
export interface RequestTarget {
  /** Starts with a slash, or is `*`. */
  readonly path: string;
  /** Without the question mark; empty when there is none. */
  readonly query: string;
  /** The host that a target in absolute form names. */
  readonly authority?: string;
}

/**
 * Takes the target of a request line apart (RFC 9112 section 3.2) without judging or changing its path: no `..` is resolved here, so that
 * the one judge of paths sees what was sent. Rejects with `invalid-request`.
 */
export function parseTarget(raw: string): RequestTarget {
  if (/[^\x21-\x7e]/.test(raw)) {
    throw new StoreError('invalid-request', 'The target of the request holds more than ASCII.', {
      hint: 'Percent-encode in paths what is not ASCII, and spaces.',
    });
  }
  const absolute = /^https?:\/\/([^/?#]*)(.*)$/is.exec(raw);
  const rest = absolute ? (absolute[2] as string) : raw;
  const mark = rest.indexOf('?');
  const path = (mark < 0 ? rest : rest.slice(0, mark)) || '/';
  const query = mark < 0 ? '' : rest.slice(mark + 1);
  if (rest.includes('#') || (!path.startsWith('/') && path !== '*')) {
    throw new StoreError('invalid-request', 'The target of the request is no path.', {
      hint: 'Ask for a path that starts with a slash; write "#" as %23.',
    });
  }
  return { path, query, ...(absolute?.[1] === undefined ? {} : { authority: absolute[1] }) };
}

import { StoreError } from '@dfs/shared';

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
 * the one judge of paths sees what was sent. Raw bytes above 127, which many clients send unencoded, are read as UTF-8. Rejects with `invalid-request`.
 */
export function parseTarget(raw: string): RequestTarget {
  const text = utf8Of(raw);
  const absolute = /^https?:\/\/([^/?#]*)(.*)$/is.exec(text);
  const rest = absolute ? (absolute[2] as string) : text;
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

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Node.js gives the bytes of a request line one character each. */
function utf8Of(raw: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is meant
  if (/^[\x00-\x7f]*$/.test(raw)) return raw;
  try {
    return utf8.decode(Buffer.from(raw, 'latin1'));
  } catch (cause) {
    throw new StoreError('invalid-path', 'The target of the request is not UTF-8.', {
      hint: 'Encode each name with percent-encoding of its UTF-8 bytes.',
      cause,
    });
  }
}

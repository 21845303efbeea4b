import { type FilePath, parseFilePath, StoreError } from '@dfs/shared';

/** How these calls name a file: `<node>@<path>` or a bare path. */
export interface Reference {
  readonly path: FilePath;
  /** Who answers for it, as far as the sender knows. The path decides. */
  readonly node?: string;
}

/**
 * Reads a reference as it stands in an address or a form: percent-encoding is undone once, then the first `@` splits, unless a slash stands before it: no node's name holds one.
 * So a name with an `@` of its own is written after `<node>@`, after a slash, or after a bare `@`. Rejects with `invalid-path`.
 */
export function parseReference(encoded: string): Reference {
  const text = decode(encoded);
  const [, node, rest] = /^([^/@]*)@(.*)$/s.exec(text) ?? [];
  const path = parseFilePath(rest ?? text);
  if (path === '/' || text.endsWith('/')) {
    throw new StoreError('invalid-path', 'The reference names no file.', {
      hint: 'Write it as <node>@<path>, as the store call answered it, or only the path.',
    });
  }
  return node ? { path, node } : { path };
}

/** The reference of a file, percent-encoded where an address could not hold it as it is. `nodeId` stands in for a name that would be misread. */
export function referenceOf(
  path: FilePath,
  { id, name }: { readonly id: string; readonly name: string },
): string {
  const node = /[/@]/.test(name) || name === '' ? id : name;
  return `${encode(node)}@${path.slice(1).split('/').map(encode).join('/')}`;
}

/** All but letters, digits, `-._~` (RFC 3986 section 2.3) and `@`: what is left means nothing to a shell either. */
const encode = (text: string) =>
  encodeURIComponent(text)
    .replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%40', '@');

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new StoreError('invalid-path', 'The reference is not percent-encoded UTF-8.', {
      hint: 'Write a percent sign in a name as %25.',
      cause,
    });
  }
}

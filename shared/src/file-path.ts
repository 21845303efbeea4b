import { StoreError } from './errors.ts';

declare const brand: unique symbol;
/** A judged path: starts with `/`, no empty, `.` or `..` segment, no NUL, valid Unicode; `/` is the root. */
export type FilePath = string & { readonly [brand]: 'FilePath' };

export const rootPath = '/' as FilePath;
export const nameMaxBytes = 255;
export const pathMaxBytes = 4096;

const refuse = (message: string, hint: string) => new StoreError('invalid-path', message, { hint });
const shown = (text: string) => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);

/** Checks one name of the tree. Rejects with `invalid-path`. */
export function checkName(name: string): string {
  if (name === '') throw refuse('A path has an empty name in it.', 'Remove the doubled slash.');
  if (name === '.' || name === '..') {
    throw refuse(`${shown(name)} is no name.`, 'Give the full path without "." and "..".');
  }
  if (name.includes('/'))
    throw refuse(`The name ${shown(name)} holds a slash.`, 'A name is one part of a path.');
  if (name.includes('\0')) throw refuse('A name holds a NUL character.', 'Remove it.');
  if (!name.isWellFormed()) throw refuse('A name is not valid Unicode.', 'Encode names as UTF-8.');
  if (Buffer.byteLength(name) > nameMaxBytes) {
    throw refuse(
      `The name ${shown(name)} is longer than ${nameMaxBytes} bytes.`,
      'Choose a shorter name.',
    );
  }
  return name;
}

/** Makes a path of names that were decoded already; each is checked. No names: the root. */
export function filePathOf(names: readonly string[]): FilePath {
  for (const name of names) checkName(name);
  const path = `/${names.join('/')}`;
  if (Buffer.byteLength(path) > pathMaxBytes) {
    throw refuse(`The path is longer than ${pathMaxBytes} bytes.`, 'Choose a shorter path.');
  }
  return path as FilePath;
}

/** Judges a path that a person or a program wrote, not percent-encoded. A leading slash may be absent, one trailing slash is dropped. */
export function parseFilePath(text: string): FilePath {
  if (text === '' || text === '/') return rootPath;
  return filePathOf(text.replace(/^\//, '').replace(/\/$/, '').split('/'));
}

/**
 * Judges the raw, percent-encoded path of a URL (after the mount point). Each segment is decoded once and on its own, so that an encoded slash
 * is a slash inside a name, which is refused. `isDirectory` tells whether it ended in a slash. Bytes that a client did not encode, and
 * which Node hands over as Latin-1, are taken as the UTF-8 that they are.
 */
export function parseUrlPath(encoded: string): { path: FilePath; isDirectory: boolean } {
  if (encoded === '' || encoded === '/') return { path: rootPath, isDirectory: true };
  const segments = encoded.replace(/^\//, '').replace(/\/$/, '').split('/');
  return { path: filePathOf(segments.map(decodeSegment)), isDirectory: encoded.endsWith('/') };
}

function decodeSegment(segment: string): string {
  if (!/[%\x80-\xff]/.test(segment)) return segment;
  try {
    return decodeURIComponent(segment.replace(/[\x80-\xff]/g, encodeURIComponentOfByte));
  } catch (cause) {
    throw new StoreError('invalid-path', `${shown(segment)} is not percent-encoded UTF-8.`, {
      hint: 'Encode each name with percent-encoding of its UTF-8 bytes.',
      cause,
    });
  }
}

const encodeURIComponentOfByte = (byte: string) => `%${byte.charCodeAt(0).toString(16)}`;

/** The path as it stands in a URL, each name encoded. */
export const urlPathOf = (path: FilePath) => path.split('/').map(encodeURIComponent).join('/');

export const namesOf = (path: FilePath): string[] => (path === '/' ? [] : path.slice(1).split('/'));
/** The last name; empty for the root. */
export const baseNameOf = (path: FilePath) => path.slice(path.lastIndexOf('/') + 1);
export const parentOf = (path: FilePath) =>
  (path.slice(0, path.lastIndexOf('/')) || '/') as FilePath;
/** Whether a path is `above` or below it. */
export const isWithin = (path: FilePath, above: FilePath): boolean =>
  above === rootPath ||
  path === above ||
  (path.startsWith(above) && path.charAt(above.length) === '/');
/** A path one name longer; the name is checked, and the length of the whole. */
export const childOf = (path: FilePath, name: string): FilePath =>
  filePathOf([...namesOf(path), name]);

/**
 * The `n`th alternative (n ≥ 1) of a name that is taken: `report.pdf` → `report (1).pdf`; a name that starts with a dot or has no
 * extension gets it at the end. Cut, on a character's border, where it would pass 255 bytes.
 */
export function alternativeName(name: string, n: number): string {
  const dot = name.lastIndexOf('.');
  const extension = dot > 0 && name.length - dot <= 32 ? name.slice(dot) : '';
  const tail = ` (${n})${extension}`;
  let stem = name.slice(0, name.length - extension.length);
  const roomBytes = nameMaxBytes - Buffer.byteLength(tail);
  while (Buffer.byteLength(stem) > roomBytes) stem = [...stem].slice(0, -1).join('');
  return stem + tail;
}

import mime from 'mime-types';

const typeMaxLength = 255;
const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const mediaType = new RegExp(`^${token}/${token}[ \\t]*(;[\\t\\x20-\\x7e]*)?$`);

/** A media type with its parameters as it may stand in a header (RFC 9110 section 8.3.1). */
export const isMediaType = (text: string) => text.length <= typeMaxLength && mediaType.test(text);

/** Text that cannot tell its own encoding. */
const plainText = /^text\/(?!html$|xml$|css$)/;

/** By the extension of the name. Plain text is taken for UTF-8, as nearly all is: a browser that is not told takes it for Windows-1252. */
export function guessContentType(name: string): string {
  const type = mime.lookup(name) || 'application/octet-stream';
  return plainText.test(type) ? `${type}; charset=utf-8` : type;
}

/**
 * The content type of a file: the given one, else a guess by the name. The type of a submitted form is no file's: curl and some libraries put it on any
 * body when nobody chose one.
 */
export function contentTypeOf(given: string | undefined, name: string): string {
  const type = given?.trim() ?? '';
  const isChosen = type !== '' && type.toLowerCase() !== 'application/x-www-form-urlencoded';
  return isChosen ? type : guessContentType(name);
}

/** The same of a part of a form. Whoever sends forms guesses by the name, too, so where both say the same the guess that knows the encoding counts. */
export function contentTypeOfPart(given: string | undefined, name: string): string {
  const type = contentTypeOf(given, name);
  const guessed = guessContentType(name);
  return guessed.startsWith(`${type};`) ? guessed : type;
}

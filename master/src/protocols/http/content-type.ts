import mime from 'mime-types';

const typeMaxLength = 255;
const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const mediaType = new RegExp(`^${token}/${token}[ \\t]*(;[\\t\\x20-\\x7e]*)?$`);

/** A media type with its parameters as it may stand in a header (RFC 9110 section 8.3.1). */
export const isMediaType = (text: string) => text.length <= typeMaxLength && mediaType.test(text);

/** By the extension of the name. */
export const guessContentType = (name: string) => mime.lookup(name) || 'application/octet-stream';

/**
 * The content type of a file: the given one, else a guess by the name. The type of a submitted form is no file's: curl and some libraries put it on any
 * body when nobody chose one.
 */
export function contentTypeOf(given: string | undefined, name: string): string {
  const type = given?.trim() ?? '';
  const isChosen = type !== '' && type.toLowerCase() !== 'application/x-www-form-urlencoded';
  return isChosen ? type : guessContentType(name);
}

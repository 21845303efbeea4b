import contentDisposition from 'content-disposition';

/**
 * `Content-Disposition` for a file of this name (RFC 6266): where the name is more than ASCII, in UTF-8 (RFC 8187) and once more in ASCII for readers that
 * know nothing else. A backslash, which would divide folders for some readers, becomes an underscore.
 */
export function dispositionOf(name: string, type: 'inline' | 'attachment'): string {
  const whole = name.toWellFormed().replaceAll('\\', '_');
  const fallback = whole.replace(/[^\x20-\x7e]/gu, '_');
  return contentDisposition(whole, { type, fallback });
}

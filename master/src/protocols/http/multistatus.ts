import { STATUS_CODES } from 'node:http';
import { errorBodyOf, httpStatusOf, StoreError } from '@dfs/shared';
import { escapeHtml } from '@dfs/shared/serving';

/** One part of what was asked that failed. */
export interface FailedPart {
  /** Where it is read over HTTP; percent-encoded. */
  readonly url: string;
  readonly error: unknown;
}

/** The body of a 207 (RFC 4918 section 13): which parts failed, and why. Parts that are not named were done, but for those that a last part counts. */
export function multistatusOf(parts: readonly FailedPart[]): string {
  return `<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">\n${parts.map(responseOf).join('')}</D:multistatus>\n`;
}

function responseOf({ url, error }: FailedPart): string {
  const status = error instanceof StoreError ? httpStatusOf[error.kind] : 500;
  const { message } = errorBodyOf(error).error;
  return `<D:response><D:href>${escapeXml(url)}</D:href><D:status>HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}</D:status><D:responsedescription>${escapeXml(message)}</D:responsedescription></D:response>\n`;
}

/** Text for between tags. What XML 1.0 cannot hold in any form, and other control characters, which it discourages (section 2.2), are shown by the sign for what cannot be shown. */
const escapeXml = (text: string) =>
  escapeHtml(text.toWellFormed().replace(/(?![\t\n\r])[\p{Cc}\ufffe\uffff]/gu, '\ufffd'));

import { createHash } from 'node:crypto';
import { type FilePath, parentOf, rootPath, urlPathOf } from '@dfs/shared';
import { escapeHtml } from '@dfs/shared/serving';
import type { ListedEntry } from '../../metadata/metadata-repository.ts';
import type { Usage } from '../../metadata/tree-changes.ts';

const style = `
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222; background: #fff }
table { border-collapse: collapse; width: 100% }
th { text-align: left; font-weight: 600; border-bottom: 1px solid #999 }
td, th { padding: .15rem 1rem .15rem 0; vertical-align: top }
td:first-child { white-space: pre-wrap; overflow-wrap: anywhere }
td:nth-child(n+2) { white-space: nowrap; font-variant-numeric: tabular-nums }
.size { text-align: right }
form { margin-top: 1.5rem }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } a { color: #8bf } }
`;

/** Lets the page's own style through and nothing else: no script, no frame, nothing from elsewhere. */
export const pagePolicy = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`;

/** A whole page around some HTML, of this server and in its style. */
export const pageHead = (title: string) =>
  `<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(title)}</title><style>${style}</style></head>\n<body>\n`;
export const pageTail = '</body></html>\n';

/** The start of a listing: title, the way up, the head of the table. */
export function listingHead(path: FilePath): string {
  const title = path === rootPath ? '/' : `${path}/`;
  const above = path === rootPath ? '' : `/fs${urlPathOf(parentOf(path)).replace(/\/$/, '')}/`;
  const wayUp =
    above === '' ? '' : `<tr><td><a href="${above}">../</a></td><td></td><td></td></tr>\n`;
  return `${pageHead(`Index of ${title}`)}<h1><bdi>${escapeHtml(`Index of ${title}`)}</bdi></h1>\n<table>\n<tr><th>Name</th><th>Modified (UTC)</th><th class="size">Size</th></tr>\n${wayUp}`;
}

export const listingRows = (entries: readonly ListedEntry[]) => entries.map(rowOf).join('');

function rowOf(entry: ListedEntry): string {
  const slash = entry.kind === 'directory' ? '/' : '';
  const link = `${encodeURIComponent(entry.name)}${slash}`;
  const time = new Date(entry.modifiedAtMs).toISOString().slice(0, 19).replace('T', ' ');
  const size = entry.file ? String(entry.file.sizeBytes) : '-';
  return `<tr><td><a href="${link}"><bdi>${escapeHtml(entry.name)}</bdi>${slash}</a></td><td>${time}</td><td class="size">${size}</td></tr>\n`;
}

/** The end of a listing: the way on where there is more, and a form for those who may write. */
export function listingTail(options: {
  next: string | undefined;
  mayWrite: boolean;
  /** All that is below, for the footer. */
  usage: Usage | undefined;
}): string {
  const { next, mayWrite, usage } = options;
  const more =
    next === undefined ? '' : `<p><a href="?after=${encodeURIComponent(next)}">More…</a></p>\n`;
  const form = mayWrite
    ? '<form method="post" enctype="multipart/form-data"><input type="file" name="file" multiple required> <button>Upload</button></form>\n'
    : '';
  const footer = usage === undefined ? '' : `<footer>${usageText(usage)}</footer>\n`;
  return `</table>\n${more}${footer}${form}${pageTail}`;
}

const usageText = ({ files, directories, bytes }: Usage) =>
  `${counted(files, 'file', 'files')}, ${counted(directories, 'directory', 'directories')}, ${sizeText(bytes)}`;

const counted = (count: number, one: string, many: string) =>
  `${count.toLocaleString('en')} ${count === 1 ? one : many}`;

const units = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `1023 bytes`, `1.5 KiB`, `310 GiB`. */
export function sizeText(bytes: number): string {
  let value = bytes;
  let unit = '';
  for (const larger of units) {
    if (value < 1024) break;
    value /= 1024;
    unit = larger;
  }
  if (unit === '') return counted(bytes, 'byte', 'bytes');
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

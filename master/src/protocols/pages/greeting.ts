import { escapeHtml } from '@dfs/shared/serving';
import type { Exchange } from '../http/exchange.ts';
import { pageHead, pagePolicy, pageTail } from '../http/listing-page.ts';
import { varyOn } from '../http/send.ts';

/** `GET /`: says what answers here. A page for people, a few lines for programs. */
export function greet(
  { response, id, isHead }: Exchange,
  version: string,
  format: 'html' | 'text',
): void {
  const body = format === 'html' ? page(version) : text(version);
  response.writeHead(200, {
    'Content-Type': `${format === 'html' ? 'text/html' : 'text/plain'}; charset=utf-8`,
    'Content-Length': Buffer.byteLength(body),
    'Content-Security-Policy': pagePolicy,
    'X-Content-Type-Options': 'nosniff',
    'X-Request-Id': id,
    Vary: varyOn(response, 'Accept'),
  });
  response.end(isHead ? undefined : body);
}

const text = (version: string) =>
  `dfs ${version}\n\nPUT and GET files under /fs/, list a directory with a slash at its end.\nHealth is at /api/v1/health.\n`;

const page = (version: string) =>
  `${pageHead('dfs')}<h1>dfs ${escapeHtml(version)}</h1>
<ul><li><a href="/fs/">Files</a></li><li><a href="/api/v1/health">Health</a></li><li><a href="/readyz">Readiness</a></li></ul>
${pageTail}`;

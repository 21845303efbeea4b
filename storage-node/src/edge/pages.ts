import { escapeHtml, type HttpExchange, sendText } from '@dfs/shared/serving';

/** `GET /` of a node: says who answers here. */
export function greet(
  exchange: HttpExchange,
  { name, version }: { readonly name: string; readonly version: string },
): void {
  const accept = exchange.request.headers.accept ?? '';
  exchange.response.setHeader('Vary', 'Accept');
  if (!accept.includes('text/html')) {
    const lines = `dfs ${version}, node ${name}\n\nGET files under /fs/, list a directory with a slash at its end, search it under /find/.\nHealth is at /api/v1/health.\n`;
    sendText(exchange, lines);
    return;
  }
  exchange.response.setHeader('Content-Security-Policy', policy);
  sendText(exchange, pageOf(name, version), { contentType: 'text/html; charset=utf-8' });
}

const policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const pageOf = (name: string, version: string) =>
  `<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(name)}</title></head>
<body><h1>${escapeHtml(name)}</h1><p>A node of dfs ${escapeHtml(version)}.</p>
<ul><li><a href="/fs/">Files</a></li><li><a href="/api/v1/health">Health</a></li></ul></body></html>\n`;

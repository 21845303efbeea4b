import type { IncomingHttpHeaders } from 'node:http';
import { type FilePath, parseUrlPath, StoreError } from '@dfs/shared';
import type { Exchange } from './exchange.ts';
import { filesMount } from './front.ts';

const refuse = (message: string, hint: string) =>
  new StoreError('invalid-request', message, { hint });

/**
 * Where a MOVE or COPY goes to (RFC 4918 section 10.3): an absolute URL of this server or an absolute path, percent-encoded, below `/fs`. Rejects with `other-server` for any other
 * place, and with `invalid-request` and `invalid-path` for what names none. A slash at the end says nothing that the source does not say.
 */
export function readDestination({ request, target }: Exchange): FilePath {
  const { destination, host } = request.headers;
  if (typeof destination !== 'string') {
    throw refuse(
      `${request.method} needs the header Destination.`,
      'Name in it the URL or the path that it shall have.',
    );
  }
  const encoded = pathOnThisServer(destination, target.authority ?? host ?? '');
  // In a path a question mark begins a query, which no name of a file has: left out, it would be another file.
  if (/[?#]/.test(encoded)) {
    throw refuse(
      'The header Destination holds a query or a fragment.',
      'Write "?" in a name as %3F and "#" as %23.',
    );
  }
  if (encoded !== filesMount && !encoded.startsWith(`${filesMount}/`)) {
    throw new StoreError('other-server', `The destination is not below ${filesMount}/.`, {
      hint: `Files are moved and copied within ${filesMount}/.`,
    });
  }
  return parseUrlPath(encoded.slice(filesMount.length)).path;
}

function pathOnThisServer(destination: string, host: string): string {
  if (/[^\x21-\x7e]/.test(destination)) {
    throw refuse(
      'The header Destination holds other than printable ASCII.',
      'Give one destination, and percent-encode spaces and what is not ASCII.',
    );
  }
  if (destination.startsWith('/') && !destination.startsWith('//')) return destination;
  const absolute = /^(https?):\/\/([^/?#]*)(.*)$/i.exec(destination);
  if (!absolute) {
    throw refuse(
      'The header Destination holds neither an absolute URL nor an absolute path.',
      'Write http://host/fs/path or /fs/path.',
    );
  }
  const [, scheme = '', authority = '', path = ''] = absolute;
  if (hostOf(authority, scheme) !== hostOf(host, scheme)) {
    throw new StoreError('other-server', 'The destination is on another server.', {
      hint: 'Send it the file instead: this server moves and copies within itself only.',
    });
  }
  return path;
}

/** Behind a proxy the scheme may differ from ours: what counts is which port it means when none is named. */
function hostOf(authority: string, scheme: string): string {
  const port = scheme.toLowerCase() === 'https' ? ':443' : ':80';
  const host = authority.toLowerCase();
  return host.endsWith(port) ? host.slice(0, -port.length) : host;
}

/** `Overwrite` (RFC 4918 section 10.6): T by default. */
export function readOverwrite(headers: IncomingHttpHeaders): boolean {
  const text = headers['overwrite'] ?? 'T';
  if (text === 'T' || text === 'F') return text === 'T';
  throw refuse(
    'The header Overwrite is neither T nor F.',
    'Write one of the two, or leave it out.',
  );
}

export type Depth = 0 | 1 | 'infinity';

/** `Depth` (RFC 4918 section 10.2): infinity by default. */
export function readDepth(headers: IncomingHttpHeaders): Depth {
  const text = String(headers['depth'] ?? 'infinity').toLowerCase();
  if (text === '0' || text === '1') return text === '0' ? 0 : 1;
  if (text === 'infinity') return text;
  throw refuse('The header Depth is none of 0, 1 and infinity.', 'Leave it out for infinity.');
}

/** For what is done to a directory with all that is in it, or not at all. */
export function refuseShallow(method: string, headers: IncomingHttpHeaders): void {
  if (readDepth(headers) === 'infinity') return;
  throw refuse(
    `${method} takes a directory with all that is in it, and Depth says otherwise.`,
    'Leave Depth out, or write "Depth: infinity".',
  );
}

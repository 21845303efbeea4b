import { StoreError } from '@dfs/shared';
import { sendText } from '@dfs/shared/serving';
import { grantAddress, revokeGrant, revokeLink, shareLink } from '../../access/sharing.ts';
import type { Exchange } from '../http/exchange.ts';
import { checkServing, type Front } from '../http/front.ts';
import { parseReference } from './reference.ts';
import { somewhere } from './somewhere.ts';

export const presignMount = '/api/v1/presign';
export const ipv4AccessMount = '/api/v1/ipv4access';

/** `GET /api/v1/presign/<reference>?duration=<seconds>`: the same reference with a signature that opens the file for so long. */
export async function presign(front: Front, exchange: Exchange): Promise<void> {
  checkSharing(front, exchange);
  const seconds = readSeconds(exchange);
  const reference = referenceUnder(presignMount, exchange);
  const { path } = parseReference(reference);
  const { signature } = await shareLink(front, exchange.principal, path, { seconds });
  sendText(exchange, `${reference}?signature=${signature}`);
}

/** `DELETE /api/v1/presign?signature=<signature>`: it opens nothing any more. Answers the signature. */
export async function revokeSignature(front: Front, exchange: Exchange): Promise<void> {
  checkSharing(front, exchange);
  const signature = readParameter(exchange, 'signature');
  await revokeLink(front, exchange.principal, signature);
  sendText(exchange, signature);
}

/** `GET /api/v1/ipv4access/<reference>?duration=<seconds>&ipv4=<address or network>`: whoever asks from there may read the file for so long. Answers the address. */
export async function grantIpv4(front: Front, exchange: Exchange): Promise<void> {
  checkSharing(front, exchange);
  const seconds = readSeconds(exchange);
  const network = readParameter(exchange, 'ipv4');
  const { path } = parseReference(referenceUnder(ipv4AccessMount, exchange));
  await grantAddress(front, exchange.principal, path, { network, seconds });
  sendText(exchange, network);
}

/** `DELETE /api/v1/ipv4access/<reference>?ipv4=<address or network>`: takes that back. */
export async function revokeIpv4(front: Front, exchange: Exchange): Promise<void> {
  checkSharing(front, exchange);
  const network = readParameter(exchange, 'ipv4');
  const { path } = parseReference(referenceUnder(ipv4AccessMount, exchange));
  await revokeGrant(front, exchange.principal, path, network);
  sendText(exchange, network);
}

function checkSharing({ access, nodes }: Front, exchange: Exchange): void {
  access.authorize(exchange.principal, 'share', somewhere(exchange));
  checkServing(nodes);
}

const referenceUnder = (mount: string, { target }: Exchange) => target.path.slice(mount.length + 1);

function readParameter({ query }: Exchange, name: string): string {
  const value = query.get(name)?.trim() ?? '';
  if (value !== '') return value;
  throw new StoreError('invalid-request', `Value ${name} is not defined`);
}

function readSeconds(exchange: Exchange): number {
  const text = readParameter(exchange, 'duration');
  return /^\d{1,12}$/.test(text) ? Number(text) : Number.NaN;
}

import { isIP } from 'node:net';
import { StoreError } from '@dfs/shared';
import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/**
 * A network in its one canonical form, CIDR with the bits behind the prefix zero: `10.1.2.3/8` becomes `10.0.0.0/8`, a single address `172.17.0.1/32`, and an IPv4-mapped
 * IPv6 network the IPv4 network that it stands for. Rejects with `invalid-request`. Pure.
 */
export function parseNetwork(text: string): string {
  const [addressText = '', prefixText, ...rest] = text.trim().split('/');
  const written = isIP(addressText) === 0 || addressText.includes('%') ? undefined : addressText;
  if (written === undefined || rest.length > 0) throw noNetwork(text);
  const address = ipaddr.process(written);
  const isMapped = isIP(written) === 6 && address.kind() === 'ipv4';
  const most = isIP(written) === 6 ? 128 : 32;
  const prefix = prefixText === undefined ? most : Number(prefixText);
  if (prefixText !== undefined && !/^\d{1,3}$/.test(prefixText)) throw noNetwork(text);
  const bits = isMapped ? prefix - 96 : prefix;
  if (prefix > most || bits < 0) throw noNetwork(text);
  return `${maskedTo(address, bits)}/${bits}`;
}

/** Whether an address, as `HttpExchange.clientAddress` tells it, is in a network of this form. Pure. */
export function isInNetwork(address: string, network: string): boolean {
  const plain = address.replace(/%.*$/, '');
  if (isIP(plain) === 0) return false;
  const ip = ipaddr.process(plain);
  const slash = network.indexOf('/');
  const base = ipaddr.parse(network.slice(0, slash));
  const bits = Number(network.slice(slash + 1));
  return ip.kind() === base.kind() && maskedTo(ip, bits) === maskedTo(base, bits);
}

function maskedTo(address: Address, bits: number): string {
  const bytes = address.toByteArray().map((byte, index) => {
    const kept = Math.min(8, Math.max(0, bits - index * 8));
    return byte & (0xff << (8 - kept)) & 0xff;
  });
  return ipaddr.fromByteArray(bytes).toString();
}

const noNetwork = (text: string) =>
  new StoreError(
    'invalid-request',
    `${JSON.stringify(text.slice(0, 80))} is neither an address nor a network.`,
    { hint: 'Write an IPv4 or IPv6 address such as 172.17.0.1, or a network such as 10.0.0.0/8.' },
  );

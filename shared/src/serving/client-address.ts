import { isIPv6 } from 'node:net';

/**
 * An address in the one form in which addresses are compared: IPv4 that comes as IPv6 in its plain form, IPv6 in its canonical form without the zone of a link. What is
 * no address stays as it is. Pure.
 */
export function plainAddress(address: string): string {
  if (!address.includes(':')) return address;
  // What sockets say, on each request.
  const dotted = /^::ffff:(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})$/i.exec(address)?.[1];
  if (dotted !== undefined) return dotted;
  const withoutZone = address.replace(/%.*$/, '');
  if (!isIPv6(withoutZone)) return address;
  const canonical = new URL(`http://[${withoutZone}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical);
  if (!mapped) return canonical;
  const [high, low] = [mapped[1], mapped[2]].map((group) => Number.parseInt(group as string, 16));
  return [(high ?? 0) >> 8, (high ?? 0) & 255, (low ?? 0) >> 8, (low ?? 0) & 255].join('.');
}

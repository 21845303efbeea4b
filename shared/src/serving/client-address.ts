/** An address in the form in which it is compared: IPv4 that comes over an IPv6 socket in its plain form, without the zone of a link. Pure. */
export function plainAddress(address: string): string {
  const mapped = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i.exec(address)?.[1];
  return mapped ?? address.replace(/%.*$/, '');
}

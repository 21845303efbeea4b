import type { IncomingHttpHeaders } from 'node:http';

/** Names of this machine that no DNS server can hand out. */
const loopbackHost = /^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])$/;

/**
 * Why a request to a server without a key is not taken for one that this machine's user made, or undefined when it is fine.
 * Without a key every local request is an administrator's, so a web page must not be able to send one: neither under a host name of
 * its own that resolves to 127.0.0.1 (DNS rebinding), nor across origins (CSRF). Pure.
 *
 * `authority` is the host of a request target in absolute form, which counts instead of the Host header (RFC 9112 section 3.2.2).
 */
export function faultOfLocalRequest(
  headers: IncomingHttpHeaders,
  authority?: string,
): string | undefined {
  const host = (authority ?? headers.host ?? '').toLowerCase();
  if (!loopbackHost.test(host.replace(/:\d*$/, ''))) {
    return `The request names the host ${JSON.stringify(host.slice(0, 80))}, and without a key this server answers to localhost only.`;
  }
  if (headers['sec-fetch-site'] === 'cross-site') {
    return 'The request comes from a page of another site.';
  }
  const origin = headers.origin?.toLowerCase();
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) {
    return `The request comes from a page of ${JSON.stringify(origin.slice(0, 80))}.`;
  }
  return undefined;
}

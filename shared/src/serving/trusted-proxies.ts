import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import proxyAddr from 'proxy-addr';
import type { EnvironmentReader } from '../environment.ts';
import { plainAddress } from './client-address.ts';

/** Who is at the other end, and the address by which they reached us. */
export interface Client {
  /** Without a port; IPv4 in its plain form; empty when the connection was gone before anybody looked. */
  readonly address: string;
  /** Scheme and host such as `https://files.example:8443`; undefined where no usable host was named. */
  readonly baseUrl: string | undefined;
}

/** The other end of the client's connection. */
export interface Peer {
  /** As `Client.address`. */
  readonly address: string;
  readonly isTls: boolean;
}

/**
 * Tells clients from the proxies in front of us. `X-Forwarded-For`, `-Proto` and `-Host` are believed from those proxies alone: from anybody else they would be a way to take
 * another's address.
 */
export class TrustedProxies {
  static readonly none = new TrustedProxies(undefined);
  readonly #trusts: ((address: string) => boolean) | undefined;

  private constructor(trusts: ((address: string) => boolean) | undefined) {
    this.#trusts = trusts;
  }

  /**
   * `networks`: addresses, networks as CIDR, or `loopback`, `linklocal`, `uniquelocal`, separated by commas. Throws an error that names what is none of
   * these.
   */
  static of(networks: string): TrustedProxies {
    const parts = networks.split(',').map((part) => part.trim());
    const trusts = proxyAddr.compile(parts.filter((part) => part !== ''));
    return new TrustedProxies((address) => trusts(address, 0));
  }

  /** Who sent a request with these headers over a connection of `peer`. `authority`: the host of a request target in absolute form. */
  clientOf(
    { address, isTls: isPeerTls }: Peer,
    headers: IncomingHttpHeaders,
    authority?: string,
  ): Client {
    const ownHost = authority ?? headers.host;
    if (!this.#trusts?.(address)) {
      return { address, baseUrl: baseUrlOf(isPeerTls ? 'https' : 'http', ownHost) };
    }
    const scheme = firstOf(headers['x-forwarded-proto'])?.toLowerCase();
    const isTls = scheme === undefined ? isPeerTls : scheme === 'https';
    return {
      address: this.#addressBehind(address, headers),
      baseUrl: baseUrlOf(isTls ? 'https' : 'http', firstOf(headers['x-forwarded-host']) ?? ownHost),
    };
  }

  /** The last address of the chain that no trusted proxy has; a proxy that names none, or what is no address, stands for its clients itself. */
  #addressBehind(proxy: string, headers: IncomingHttpHeaders): string {
    const forwardedFor = headers['x-forwarded-for'];
    if (forwardedFor === undefined) return proxy;
    const chain = String(forwardedFor)
      .split(',')
      .map((part) => plainAddress(withoutPort(part.trim())));
    let nearest = proxy;
    for (const address of chain.reverse()) {
      if (isIP(address) === 0) return nearest;
      nearest = address;
      if (!this.#trusts?.(address)) return nearest;
    }
    return nearest;
  }
}

/** Some proxies send the port along. */
const withoutPort = (text: string) =>
  /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ??
  /^(\d{1,3}(?:\.\d{1,3}){3}):\d+$/.exec(text)?.[1] ??
  text;

const firstOf = (header: string | string[] | undefined): string | undefined =>
  String(header ?? '')
    .split(',', 1)[0]
    ?.trim() || undefined;

const baseUrlOf = (scheme: string, host: string | undefined) =>
  host !== undefined && /^(?:[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?$/i.test(host)
    ? `${scheme}://${host}`
    : undefined;

/** The proxies that `DFS_TRUSTED_PROXIES` names. What is none is a fault. */
export function readTrustedProxies(read: EnvironmentReader): TrustedProxies {
  const networks = read.optional('DFS_TRUSTED_PROXIES');
  if (networks === undefined) return TrustedProxies.none;
  try {
    return TrustedProxies.of(networks);
  } catch (error) {
    read.fault(
      `DFS_TRUSTED_PROXIES (${(error as Error).message}): it must hold addresses, networks such as 10.0.0.0/8, or loopback, linklocal, uniquelocal, separated by commas.`,
    );
    return TrustedProxies.none;
  }
}

import { readFileSync } from 'node:fs';
import tls, { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import type { EnvironmentReader } from './environment.ts';

/** The certificates (PEM) of the file that `DFS_TLS_CA` names; undefined when it is not set. What cannot be used is a fault. */
export function readTlsCa(read: EnvironmentReader): string | undefined {
  const file = read.optional('DFS_TLS_CA');
  if (file === undefined) return undefined;
  try {
    const certificates = readFileSync(file, 'utf8');
    if (!certificates.includes('-----BEGIN CERTIFICATE-----')) {
      read.fault(`DFS_TLS_CA: the file ${file} holds no certificate in PEM.`);
      return undefined;
    }
    createSecureContext({ ca: certificates });
    return certificates;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    read.fault(`DFS_TLS_CA: the file ${file} cannot be used (${code ?? message}).`);
    return undefined;
  }
}

/** All certificates (PEM) that may vouch for a server: those that Node.js trusts anyway, and `ca`. */
export function trustedCertificates(ca: string): string[] {
  // Absent before Node.js 22.15; then what NODE_EXTRA_CA_CERTS names is not known here.
  const { getCACertificates } = tls as { getCACertificates?: (type: 'default') => string[] };
  return [...(getCACertificates?.('default') ?? rootCertificates), ca];
}

let last: { readonly ca: string; readonly trust: SecureContext } | undefined;

/** What connections to servers are checked with; undefined, for what Node.js trusts anyway, without `ca`. Made once for the same `ca`, since that takes milliseconds. */
export function tlsTrustOf(ca: string | undefined): SecureContext | undefined {
  if (ca === undefined) return undefined;
  if (last?.ca !== ca) last = { ca, trust: createSecureContext({ ca: trustedCertificates(ca) }) };
  return last.trust;
}

/** The same as an option of `tls.connect`, of an agent or of a pool. */
export const trusting = (trust: SecureContext | undefined) =>
  trust === undefined ? {} : { secureContext: trust };

import { webcrypto } from 'node:crypto';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const dayMs = 86_400_000;

/** PEM. */
export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

/** An authority of this test alone: its certificate, and certificates of servers that it signs. */
export interface TestAuthority {
  readonly ca: string;
  /** A certificate for 127.0.0.1 and localhost, or for other names. `name` is its subject. */
  issue(name: string, hosts?: readonly string[]): Promise<TestCertificate>;
}

/** Makes an authority whose certificates are valid for a day. */
export async function makeTestAuthority(name = 'test authority'): Promise<TestAuthority> {
  // Loaded where it is needed: most tests make no certificates. The second one cannot do without the first.
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  x509.cryptoProvider.set(webcrypto as never);
  const makeKeys = () => webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const validity = () => ({
    notBefore: new Date(Date.now() - dayMs),
    notAfter: new Date(Date.now() + dayMs),
    signingAlgorithm: algorithm,
  });
  const keys = await makeKeys();
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    ...validity(),
    serialNumber: '01',
    name: `CN=${name}`,
    keys,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  let serial = 1;
  return {
    ca: authority.toString('pem'),
    issue: async (subject, hosts = ['127.0.0.1', 'localhost']) => {
      const own = await makeKeys();
      serial += 1;
      const names = hosts.map((host) => ({
        type: /^[\d.]+$/.test(host) ? ('ip' as const) : ('dns' as const),
        value: host,
      }));
      const certificate = await x509.X509CertificateGenerator.create({
        ...validity(),
        serialNumber: serial.toString(16).padStart(2, '0'),
        subject: `CN=${subject}`,
        issuer: authority.subject,
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        extensions: [new x509.SubjectAlternativeNameExtension(names)],
      });
      const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', own.privateKey));
      const lines = pkcs8.toString('base64').match(/.{1,64}/g) ?? [];
      const key = `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`;
      return { cert: certificate.toString('pem'), key };
    },
  };
}

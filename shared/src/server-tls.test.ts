import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { connect as connectPlain } from 'node:net';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ConfigurationError, EnvironmentReader } from './environment.ts';
import { listen } from './listen.ts';
import { readTls, ServerTls } from './server-tls.ts';
import {
  makeTestAuthority,
  type TestAuthority,
  type TestCertificate,
} from './testing/certificates.ts';
import { eventually } from './testing/eventually.ts';
import { recordingLogger } from './testing/recording-logger.ts';
import { temporaryDirectory } from './testing/temporary-directory.ts';
import { readTlsCa, tlsTrustOf, trusting } from './tls-trust.ts';

let authority: TestAuthority;
beforeAll(async () => {
  authority = await makeTestAuthority();
});

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
const endings: (() => unknown)[] = [];
beforeEach(async () => {
  directory = await temporaryDirectory();
});
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
  await directory.remove();
});

const files = () => ({
  DFS_TLS_CERT: join(directory.path, 'cert.pem'),
  DFS_TLS_KEY: join(directory.path, 'key.pem'),
});

async function write({ cert, key }: TestCertificate): Promise<void> {
  await writeFile(files().DFS_TLS_CERT, cert);
  await writeFile(files().DFS_TLS_KEY, key);
}

async function serve(handle: Parameters<ServerTls['createServer']>[1]) {
  await write(await authority.issue('first'));
  const tls = await ServerTls.read(files());
  const server = tls.createServer({}, handle);
  const port = await listen(server, { host: '127.0.0.1', port: 0 });
  endings.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { tls, server, port };
}

/** The subject of the certificate that a new connection is shown; rejects when it cannot be trusted. */
async function subjectAt(port: number, ca?: string): Promise<string> {
  const socket: TLSSocket = connect({ host: '127.0.0.1', port, ...trusting(tlsTrustOf(ca)) });
  try {
    await once(socket, 'secureConnect');
    return String(socket.getPeerCertificate().subject.CN);
  } finally {
    socket.destroy();
  }
}

describe('listeners with TLS', () => {
  it('are trusted through the authority that signed for them, and through no other', async () => {
    const { tls, port } = await serve((_request, response) => response.end());
    expect(tls.scheme).toBe('https');
    expect(await subjectAt(port, authority.ca)).toBe('first');
    await expect(subjectAt(port)).rejects.toThrow(/certificate/);
    const other = await makeTestAuthority();
    await expect(subjectAt(port, other.ca)).rejects.toThrow(/certificate/);
  });

  it('show a new certificate once its files have changed, and keep the last good one', async () => {
    const { tls, port } = await serve((_request, response) => response.end());
    const { logger, lines } = recordingLogger();
    tls.watch(logger, 20);
    endings.push(() => tls.close());
    const warnings = () => lines.filter(({ level }) => level === 'warn').length;
    await writeFile(files().DFS_TLS_CERT, (await authority.issue('of another key')).cert);
    await eventually(warnings).toBe(1);
    expect(await subjectAt(port, authority.ca)).toBe('first');
    await rm(files().DFS_TLS_KEY);
    await eventually(warnings).toBe(2);
    expect(await subjectAt(port, authority.ca)).toBe('first');
    const second = await authority.issue('second');
    await write(second);
    await eventually(() => subjectAt(port, authority.ca)).toBe('second');
    expect(JSON.stringify(lines)).not.toContain('PRIVATE');
  });

  it.each([
    ['a certificate without a key', ['DFS_TLS_CERT'], 'DFS_TLS_KEY is not'],
    ['a key without a certificate', ['DFS_TLS_KEY'], 'DFS_TLS_CERT is not'],
    ['files that are not there', ['DFS_TLS_CERT', 'DFS_TLS_KEY'], 'cannot be read (ENOENT)'],
  ])('refuse %s', async (_, names, fault) => {
    const environment = Object.fromEntries(
      Object.entries(files()).filter(([name]) => names.includes(name)),
    );
    const read = readTls(environment);
    await expect(read).rejects.toThrow(ConfigurationError);
    await expect(read).rejects.toThrow(fault);
  });

  it('refuse a key of another certificate', async () => {
    const [one, other] = [await authority.issue('one'), await authority.issue('other')];
    await write({ cert: one.cert, key: other.key });
    await expect(readTls(files())).rejects.toThrow('are no certificate and its private key');
  });

  it('are refused an authority that is none', async () => {
    const file = join(directory.path, 'ca.pem');
    await writeFile(file, 'nothing');
    const read = new EnvironmentReader({ DFS_TLS_CA: file });
    expect(readTlsCa(read)).toBeUndefined();
    expect(() => read.finish()).toThrow('holds no certificate');
  });
});

describe('a server that ends its connections', () => {
  it('also ends those that never began their handshake', async () => {
    const { server, port } = await serve((_request, response) => response.end());
    const mute = connectPlain(port, '127.0.0.1');
    endings.push(() => mute.destroy());
    const known = once(server, 'connection');
    await once(mute, 'connect');
    await known;
    const closed = once(server, 'close');
    const gone = once(mute, 'close');
    server.close();
    server.closeAllConnections();
    await Promise.all([closed, gone]);
  }, 5_000);
});

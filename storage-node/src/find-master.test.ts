import { createServer, type RequestListener } from 'node:http';
import { ClusterKeyring, listen, withoutTls } from '@dfs/shared/cluster';
import { recordingLogger } from '@dfs/shared/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { readConfig } from './config.ts';
import { findMaster } from './find-master.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function instance(answer: RequestListener): Promise<string> {
  const server = createServer((request, response) => {
    request.resume();
    answer(request, response);
  });
  closing.push(() => server.close().closeAllConnections());
  return `http://127.0.0.1:${await listen(server, { host: '127.0.0.1', port: 0 })}`;
}

const { logger, lines } = recordingLogger();
const find = (url: string, signal = new AbortController().signal) =>
  findMaster(url, {
    keyring: ClusterKeyring.of('the key'),
    tls: withoutTls,
    logger,
    random: () => 0,
    signal,
  });

describe('a node that knows only a gossip instance', () => {
  it('asks it with the key, until it answers', async () => {
    let asked = 0;
    const url = await instance((request, response) => {
      asked += 1;
      expect([request.method, request.url]).toEqual(['POST', '/api/v1/register']);
      expect(request.headers.authorization).toBe('Bearer the key');
      if (asked === 1) request.socket.destroy();
      else if (asked === 2) response.writeHead(503).end('Recovery.');
      else response.end(JSON.stringify({ management: 'http://10.0.0.5:7041', instance: 'K' }));
    });
    expect(await find(url)).toBe('http://10.0.0.5:7041');
    expect(asked).toBe(3);
    expect(lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });

  it.each<[string, number, string, string, RegExp]>([
    ['refuses its key', 401, 'Denied', 'unauthorized', /refused the key of this node/],
    ['takes it for somebody else', 403, '', 'unauthorized', /refused the key of this node/],
    ['is another server', 404, 'Not found', 'invalid-request', /no dfs instance/],
    ['tells nothing', 200, '{}', 'invalid-request', /told no management address/],
    [
      'tells what is no address',
      200,
      '{"management":"file:///etc"}',
      'invalid-request',
      /no management/,
    ],
  ])('gives up when that %s', async (_what, status, body, kind, message) => {
    const url = await instance((_request, response) => {
      response.writeHead(status).end(body);
    });
    await expect(find(url)).rejects.toMatchObject({
      kind,
      message: expect.stringMatching(message),
      hint: expect.any(String),
    });
  });

  it('waits for a master that is rebuilding its database', async () => {
    let asked = 0;
    const url = await instance((_request, response) => {
      asked += 1;
      const refusal = { error: { code: 'in-recovery', message: 'It is rebuilt.' } };
      if (asked === 1) response.writeHead(503).end(JSON.stringify(refusal));
      else response.end(JSON.stringify({ management: 'http://10.0.0.5:7041' }));
    });
    expect(await find(url)).toBe('http://10.0.0.5:7041');
  });

  it('stops asking when it shall stop', async () => {
    const stopping = new AbortController();
    const url = await instance((request) => {
      request.socket.destroy();
      stopping.abort();
    });
    await expect(find(url, stopping.signal)).rejects.toThrow();
  });
});

describe('GOSSIP_INSTANCE', () => {
  const read = (environment: Record<string, string>) => readConfig(environment, true).gossipUrl;

  it.each([
    ['kalahari', 'http://kalahari'],
    ['172.17.0.2', 'http://172.17.0.2'],
    ['kalahari:7110', 'http://kalahari:7110'],
    ['[::1]:7110', 'http://[::1]:7110'],
    ['http://kalahari:7110/', 'http://kalahari:7110'],
    ['https://kalahari', 'https://kalahari'],
  ])('%s is the listener %s', (text, url) => {
    expect(read({ GOSSIP_INSTANCE: text })).toBe(url);
  });

  it('means TLS at the same port where the node is told about certificates', () => {
    const withTls = { GOSSIP_INSTANCE: 'kalahari', DFS_TLS_CA: '/etc/dfs/ca.pem' };
    expect(read(withTls)).toBe('https://kalahari:80');
    expect(read({ ...withTls, GOSSIP_INSTANCE: 'kalahari:443' })).toBe('https://kalahari:443');
  });

  it('counts only where no master is named', () => {
    const both = { GOSSIP_INSTANCE: 'kalahari', DFS_MASTER_URL: 'http://10.0.0.5:7041' };
    expect(read(both)).toBeUndefined();
    expect(read({})).toBeUndefined();
  });

  it.each(['two words', 'kalahari/path', 'user@kalahari', 'kalahari:port', 'ftp://kalahari'])(
    'is not %s',
    (text) => {
      expect(() => read({ GOSSIP_INSTANCE: text })).toThrow(/GOSSIP_INSTANCE/);
    },
  );
});

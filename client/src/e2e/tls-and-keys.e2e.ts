import { once } from 'node:events';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { makeTestAuthority } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { contentOf } from './harness/content.ts';
import { temporaryDirectory } from './harness/guard.ts';
import { type HttpRequest, sendHttp } from './harness/http.ts';
import { type SeparatePrograms, startSeparatePrograms } from './harness/separate-programs.ts';
import { waitUntil } from './harness/wait-until.ts';

/** Writes and reads of a client with a key that can be changed, and reads with an access key, one after the other until it is stopped. What fails is kept. */
class Traffic {
  readonly failures: string[] = [];
  rounds = 0;
  /** How often a node itself gave the bytes. */
  redirected = 0;
  key: string;
  #isRunning = true;
  readonly #running: Promise<void>;

  readonly #programs: SeparatePrograms;
  readonly #accessKey: string;

  constructor(programs: SeparatePrograms, accessKey: string) {
    this.#programs = programs;
    this.#accessKey = accessKey;
    this.key = programs.key;
    this.#running = this.#run();
  }

  /** Resolves once so many more rounds have begun and ended. */
  async more(rounds: number): Promise<void> {
    const wanted = this.rounds + rounds + 1;
    await waitUntil(`${rounds} rounds of reads and writes`, () => this.rounds >= wanted);
  }

  async stop(): Promise<void> {
    this.#isRunning = false;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#isRunning) {
      const path = `/fs/traffic/${this.rounds}.bin`;
      const body = contentOf(path, 3_000);
      const headers = { Authorization: `Bearer ${this.key}` };
      const stored = await this.#ask('PUT', path, { method: 'PUT', path, headers, body });
      if (stored) expect.soft(stored.status, stored.text).toBe(201);
      const read = await this.#ask('GET', path, { path, headers });
      if (read && !read.body.equals(body)) this.failures.push(`GET ${path} ${read.status}`);
      await this.#ask('access key', path, { path, headers: { 'SHARD-KEY': this.#accessKey } });
      const sent = await this.#ask('redirect', path, { path: `${path}?redirect=1`, headers });
      if (sent?.headers.location !== undefined) {
        const { origin, pathname, search } = new URL(sent.headers.location);
        const atNode = await sendHttp(origin, { path: pathname + search });
        if (atNode.body.equals(body)) this.redirected += 1;
        else this.failures.push(`${path} at a node: ${atNode.text}`);
      }
      this.rounds += 1;
    }
  }

  async #ask(what: string, path: string, asked: Parameters<typeof sendHttp>[1]) {
    try {
      const answer = await sendHttp(this.#programs.url, asked);
      if (answer.status < 400) return answer;
      this.failures.push(`${what} ${path}: ${answer.status} ${answer.text}`);
    } catch (error) {
      this.failures.push(`${what} ${path}: ${error}`);
    }
    return undefined;
  }
}

const keysChanged = /"message":"the cluster keys have changed"/g;

describe('a change of the cluster key', () => {
  it('goes on under reads and writes, none of which fails, and ends the old key', async () => {
    const programs = await startSeparatePrograms({
      environment: { DFS_NODE_PUBLIC_URL: 'self', DFS_LOG_FORMAT: 'json' },
      replicator: false,
    });
    const replicator = programs.startReplicator();
    const all = [programs.master, replicator, ...programs.nodeList.map(({ program }) => program)];
    const [first, second] = [programs.key, 'the new key of this cluster'];
    await replicator.printed(/replicator works/);
    const made = await programs.dfs(['key', 'add', '--prefix', '/traffic', '--name', 'reader']);
    expect(made.code, made.stderr).toBe(0);
    const accessKey = made.stdout.trim();
    const traffic = new Traffic(programs, accessKey);
    const share = async (key: string) => {
      const environment = { DFS_KEY: key };
      const { code, stdout, stderr } = await programs.dfs(['share', '/traffic/0.bin'], {
        environment,
      });
      expect(code, stderr).toBe(0);
      const { pathname, search } = new URL(stdout);
      return pathname + search;
    };
    const opens = async (link: string) =>
      (await sendHttp(programs.url, { path: link })).status === 200;
    try {
      let steps = 0;
      const step = async (...keys: string[]) => {
        writeFileSync(`${programs.keyFile}.next`, `${keys.join('\n')}\n`);
        renameSync(`${programs.keyFile}.next`, programs.keyFile);
        steps += 1;
        await waitUntil(`step ${steps} to count everywhere`, () =>
          all.every(({ output }) => (output.match(keysChanged) ?? []).length === steps),
        );
        await traffic.more(5);
      };
      await traffic.more(3);
      const oldLink = await share(first);
      await step(first, second);
      traffic.key = second;
      await traffic.more(5);
      await step(second, first);
      const newLink = await share(second);
      expect([await opens(oldLink), await opens(newLink)]).toEqual([true, true]);
      await step(second);
      expect([await opens(oldLink), await opens(newLink)]).toEqual([false, true]);
    } finally {
      await traffic.stop();
    }
    try {
      expect(traffic.failures).toEqual([]);
      expect(traffic.redirected).toBeGreaterThan(10);

      const answersTo = async (url: string, path: string, key: string, node?: string) => {
        const headers = { 'SHARD-KEY': key, ...(node === undefined ? {} : { 'x-dfs-node': node }) };
        return (await sendHttp(url, { path, headers })).status;
      };
      const nodes = await sendHttp(programs.url, {
        path: '/api/v1/nodes',
        headers: { 'SHARD-KEY': second },
      });
      const listed = nodes.json<{ id: string; url: string; state: string }[]>();
      expect(listed.map(({ state }) => state)).toEqual(['up', 'up']);
      for (const [key, status] of [
        [first, 401],
        [second, 200],
      ] as const) {
        expect(await answersTo(programs.url, '/api/v1/status', key)).toBe(status);
        expect(await answersTo(programs.managementUrl, '/cluster/nodes', key)).toBe(status);
        for (const { id, url } of listed) {
          expect(await answersTo(url, '/status', key, id)).toBe(status);
        }
      }
      // The replicator and the nodes copy from each other under the new key alone.
      await waitUntil('all copies', async () => {
        const headers = { 'SHARD-KEY': second };
        const status = (await sendHttp(programs.url, { path: '/api/v1/status', headers })).json<{
          replicas: { wanted: number; stored: number };
        }>();
        return status.replicas.wanted === 0 && status.replicas.stored >= 2 * traffic.rounds;
      });
      const complaints = all.flatMap(
        ({ output }) => output.match(/.*"level":"(?:warn|error)".*/g) ?? [],
      );
      // Of the old key, which was just tried.
      expect(complaints).toEqual([
        expect.stringContaining('a wrong key was sent'),
        expect.stringContaining('a wrong cluster key came to the management port'),
      ]);
      // Its secret is sealed under the new key now: a master that knows that one alone opens it.
      expect(programs.master.output).toMatch(/"message":"access keys were sealed again/);
      await programs.restartMaster();
      const [id, secret] = accessKey.split('.') as [string, string];
      const asReader = { DFS_KEY: accessKey };
      const reader = (words: string[]) => programs.dfs(words, { environment: asReader });
      const found = await reader(['find', '/']);
      expect(found.code, found.stderr).toBe(0);
      expect(found.stdout).toContain('/traffic/0.bin');
      const refused = await reader(['put', programs.keyFile, '/traffic/mine']);
      expect(refused.code).toBe(4);
      expect(refused.stderr).toContain('(role read, prefix /traffic) may not write /traffic/mine');
      const asAdmin = { environment: { DFS_KEY: second } };
      const keys = await programs.dfs(['key', 'ls'], asAdmin);
      expect(keys.stdout).toMatch(new RegExp(`${id} +read +/traffic .* reader`));
      expect(keys.stdout).not.toContain(secret);
      expect((await programs.dfs(['key', 'rm', id], asAdmin)).code).toBe(0);
      expect((await reader(['find', '/'])).code).toBe(4);
      expect((await programs.dfs(['key', 'rm', id], asAdmin)).stderr).toContain('No such key');
      for (const { output } of [...all, programs.master]) {
        expect(output).not.toContain(second);
        expect(output).not.toContain(secret);
      }
    } finally {
      await programs.dispose();
    }
  });
});

describe('a store whose programs speak TLS under a private authority', () => {
  it('stores, copies and reads as ever, follows a new certificate, and trusts no other authority', async () => {
    const authority = await makeTestAuthority();
    const folder = temporaryDirectory('tls');
    const place = (name: string) => join(folder, name);
    const use = async (subject: string) => {
      const { cert, key } = await authority.issue(subject);
      writeFileSync(place('cert.pem'), cert);
      writeFileSync(place('key.pem'), key, { mode: 0o600 });
    };
    await use('first');
    writeFileSync(place('ca.pem'), authority.ca);
    const programs = await startSeparatePrograms({
      ca: authority.ca,
      publicNodes: true,
      environment: {
        DFS_TLS_CERT: place('cert.pem'),
        DFS_TLS_KEY: place('key.pem'),
        DFS_TLS_CA: place('ca.pem'),
        DFS_NODE_PUBLIC_URL: 'self',
        DFS_LOG_FORMAT: 'json',
      },
    });
    try {
      const files = { 'short.txt': 'short', 'long.bin': contentOf('long over TLS', 9_000_000) };
      for (const [name, content] of Object.entries(files)) {
        writeFileSync(place(name), content);
        const put = await programs.dfs(['put', place(name), `/${name}`]);
        expect(put.code, put.stderr).toBe(0);
      }
      // By the replicator, from node to node.
      await programs.waitForCopies(['/short.txt', '/long.bin'], 2);
      const roundTrip = async () => {
        for (const [name, content] of Object.entries(files)) {
          const got = await programs.dfs(['get', `/${name}`, '-']);
          expect(got.code, got.stderr).toBe(0);
          expect(got.bytes.equals(Buffer.from(content)), name).toBe(true);
        }
      };
      await roundTrip();
      // What a node gives itself, what it passes on, and an upload through it.
      const byNode = (path: string, more: Partial<HttpRequest> = {}) =>
        sendHttp(programs.node('node-1').publicUrl ?? '', {
          ...{ path, headers: { 'SHARD-KEY': programs.key }, ca: authority.ca, ...more },
        });
      expect((await byNode('/fs/long.bin')).body.equals(files['long.bin'])).toBe(true);
      expect((await byNode('/find/')).text).toContain('/short.txt');
      const stored = await byNode('/fs/by-node.bin', { method: 'PUT', body: files['long.bin'] });
      expect(stored.status, stored.text).toBe(201);
      const nodes = await programs.nodes();
      expect(nodes.map(({ url }) => new URL(url).protocol)).toEqual(['https:', 'https:']);
      const { location = '' } = (await programs.get('/short.txt', {}, '?redirect=1')).headers;
      const { origin, pathname, search, protocol } = new URL(location);
      expect(protocol).toBe('https:');
      const atNode = await sendHttp(origin, { path: pathname + search, ca: authority.ca });
      expect(atNode.text).toBe('short');

      const strange = await programs.dfs(['ls', '/'], { environment: { DFS_TLS_CA: undefined } });
      expect(strange.code).not.toBe(0);
      expect(strange.stderr).toContain('DFS_TLS_CA');
      const plain = sendHttp(programs.url.replace('https:', 'http:'), { path: '/healthz' });
      await expect(plain).rejects.toThrow();

      await use('second');
      const listeners = [programs.url, programs.managementUrl, ...nodes.map(({ url }) => url)];
      for (const url of listeners) {
        const { port } = new URL(url);
        await waitUntil(`the new certificate at ${url}`, async () => {
          const socket = connect({ host: '127.0.0.1', port: Number(port), ca: authority.ca });
          await once(socket, 'secureConnect');
          const { CN } = socket.getPeerCertificate().subject;
          socket.destroy();
          return CN === 'second';
        });
      }
      await roundTrip();
      await programs.store('/after.txt', 'after');
      await programs.waitForCopies(['/after.txt'], 2);
    } finally {
      await programs.dispose();
    }
  });
});

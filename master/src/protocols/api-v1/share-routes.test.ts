import { once } from 'node:events';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { setImmediate as turn } from 'node:timers/promises';
import type { FilePath, ShareAnswer } from '@dfs/shared';
import { beforeEach, describe, expect, it } from 'vitest';
import { deriveLinkKey, signLink } from '../../access/links.ts';
import { TestPublicServer, testKey } from '../testing/test-public-server.ts';
import { reasonOf, TestSharing } from './testing/test-sharing.ts';

const sharing = new TestSharing();
const { ask, share, stranger } = sharing;
const json = { 'Content-Type': 'application/json' };

describe('a signed link', () => {
  it('opens its file without a key, in part and as HEAD, too', async () => {
    const { url, expiresAt, path } = await share();
    expect([path, expiresAt]).toEqual([
      '/a b.txt',
      new Date(sharing.clock.now() + 60_000).toISOString(),
    ]);
    const answer = await stranger(url);
    expect([answer.status, await answer.text()]).toEqual([200, 'secret text']);
    expect(answer.headers.get('cache-control')).toBe('private, no-cache');
    expect(answer.headers.get('referrer-policy')).toBe('no-referrer');
    expect(answer.headers.get('content-disposition')).toBeNull();
    const part = await stranger(url, { headers: { Range: 'bytes=0-5' } });
    expect([part.status, await part.text()]).toEqual([206, 'secret']);
    expect((await stranger(url, { method: 'HEAD' })).status).toBe(200);
    expect((await stranger('/fs/a%20b.txt')).status).toBe(401);
  });

  it('asks for the file to be saved where that was wanted', async () => {
    const { url } = await share({ download: true });
    expect((await stranger(url)).headers.get('content-disposition')).toBe(
      'attachment; filename="a b.txt"',
    );
  });

  it('leads to the address by which it was asked for, or to the configured one', async () => {
    expect((await share()).url).toMatch(`${sharing.server.url}/fs/a%20b.txt?signature=`);
    const proxied = await new TestPublicServer({
      config: { publicUrl: 'https://files.example/store' },
    }).start();
    await proxied.files.add('/x', 'x');
    const answer = await proxied.fetch('/api/v1/shares/x', {
      method: 'POST',
      body: '{"seconds":1}',
      headers: json,
    });
    await proxied.stop();
    const { url } = (await answer.json()) as ShareAnswer;
    expect(url).toMatch(/^https:\/\/files\.example\/store\/fs\/x\?signature=[\w-]{88}$/);
  });

  it('opens nothing from its end on', async () => {
    const { url } = await share();
    sharing.clock.advance(59_999);
    expect((await stranger(url)).status).toBe(200);
    sharing.clock.advance(1);
    expect(await reasonOf(await stranger(url))).toEqual([401, 'The link has expired.']);
  });

  it('opens nothing when it was tampered with, or for another path, a directory, or a name that is not there', async () => {
    const { signature } = await share();
    const other = signature.endsWith('A') ? 'B' : 'A';
    const denied = 'The signature is not one of a link to this path.';
    for (const path of [
      `/fs/a%20b.txt?signature=${signature.slice(0, -1)}${other}`,
      '/fs/a%20b.txt?signature=',
      `/fs/other.txt?signature=${signature}`,
      `/fs/nowhere.txt?signature=${signature}`,
    ]) {
      expect([path, ...(await reasonOf(await stranger(path)))]).toEqual([path, 401, denied]);
    }
    await sharing.server.files.makeDirectory('/dir' as FilePath);
    // No two of these tell a stranger what there is.
    for (const query of ['', `?signature=${signature}`, '?signature=none']) {
      const paths = ['/fs/other.txt', '/fs/dir', '/fs/nowhere'];
      const answers = await Promise.all(
        paths.map(async (path) => (await reasonOf(await stranger(`${path}${query}`))).join()),
      );
      expect(new Set(answers)).toEqual(new Set([answers[0]]));
    }
    for (const path of ['/fs/', '/find/', '/fs/a%20b.txt/', '/api/v1/stat/a%20b.txt']) {
      const answer = await stranger(`${path}?signature=${signature}`);
      expect([path, answer.status]).toEqual([path, 401]);
      expect(await answer.text()).not.toContain('secret');
    }
  });

  it('opens the path alone, not the content by its id', async () => {
    const { signature } = await share();
    const id = (await sharing.server.files.stat({ path: '/a b.txt' as FilePath })).file.id;
    expect((await stranger(`/api/v1/files/${id}?signature=${signature}`)).status).toBe(401);
  });

  it.each(['PUT', 'DELETE', 'POST', 'MOVE', 'COPY', 'MKCOL'])('is not for %s', async (method) => {
    const { signature } = await share();
    const answer = await stranger(`/fs/a%20b.txt?signature=${signature}`, {
      method,
      headers: { Destination: '/fs/taken.txt' },
      ...(method === 'PUT' ? { body: 'new' } : {}),
    });
    expect(answer.status).toBe(401);
    expect(sharing.server.files.bytesAt('/a b.txt')?.toString()).toBe('secret text');
    expect(sharing.server.files.bytesAt('/taken.txt')).toBeUndefined();
  });

  it('does not open another content under its name, unless it follows the name', async () => {
    const bound = await share();
    const following = await share({ follow: true });
    await sharing.server.files.add('/a b.txt', 'a new secret');
    expect(await reasonOf(await stranger(bound.url))).toEqual([
      401,
      'The link is of a content that was replaced since.',
    ]);
    expect(await (await stranger(following.url)).text()).toBe('a new secret');
    await sharing.server.files.remove('/a b.txt' as FilePath);
    // Whoever has a link knows that there was a file.
    expect((await stranger(following.url)).status).toBe(404);
  });

  it('of the key before counts while that is accepted, and no other', async () => {
    const path = '/a b.txt' as FilePath;
    const { file } = await sharing.server.files.stat({ path });
    const claims = {
      fileId: file.id,
      issuedAtMs: sharing.clock.now(),
      expiresAtMs: sharing.clock.now() + 60_000,
      isDownload: false,
      followsName: false,
    };
    const by = (key: string) =>
      stranger(
        `/fs/a%20b.txt?signature=${signLink(deriveLinkKey(key), path, claims, Buffer.alloc(3))}`,
      );
    expect((await by('the key before')).status).toBe(200);
    expect((await by(testKey)).status).toBe(200);
    expect((await by('the key before that')).status).toBe(401);
  });

  it('does not send anybody to a node, where it could not be revoked', async () => {
    sharing.server.files.nodeUrl = 'http://127.0.0.1:1';
    const { url } = await share();
    expect((await sharing.server.fetch('/fs/a%20b.txt?redirect=1')).status).toBe(307);
    expect((await stranger(`${url}&redirect=1`)).status).toBe(200);
  });

  it('is asked for with a key, a time, and a private file', async () => {
    const post = (path: string, body: unknown) => ask('POST', `/api/v1/shares${path}`, body);
    const answer = await stranger('/api/v1/shares/a%20b.txt', { method: 'POST', body: '{}' });
    expect(answer.status).toBe(401);
    for (const seconds of [undefined, 0, -1, 1.5, 366 * 86_400 + 1, '60']) {
      expect([seconds, (await post('/other.txt', { seconds })).status]).toEqual([seconds, 400]);
    }
    expect((await post('/nowhere', { seconds: 1 })).status).toBe(404);
    await sharing.server.files.makeDirectory('/dir' as FilePath);
    expect((await post('/dir', { seconds: 1 })).status).toBe(409);
    await sharing.server.files.setVisibility('/other.txt' as FilePath, 'public');
    expect(await post('/other.txt', { seconds: 1 })).toMatchObject({
      status: 409,
      body: { error: { message: '/other.txt is public: anyone can read it without this.' } },
    });
  });

  it('needs a cluster key, and says so', async () => {
    const open = await new TestPublicServer({ clusterKey: undefined }).start();
    await open.files.add('/x', 'x');
    for (const [path, body] of [
      ['/api/v1/shares/x', { seconds: 1 }],
      ['/api/v1/grants/x', { seconds: 1, network: '10.0.0.0/8' }],
    ] as const) {
      const answer = await open.fetch(path, {
        method: 'POST',
        body: JSON.stringify(body),
        headers: json,
      });
      expect([answer.status, await answer.text()]).toEqual([
        409,
        expect.stringMatching(/DFS_CLUSTER_KEY.*has no key/),
      ]);
    }
    await open.stop();
  });
});

describe('revoking', () => {
  it('one link leaves the others, and it stays revoked when it is replayed', async () => {
    const one = await share();
    const other = await share();
    const { status } = await ask('DELETE', `/api/v1/shares?signature=${one.signature}`);
    expect(status).toBe(200);
    for (let round = 0; round < 2; round += 1) {
      expect(await reasonOf(await stranger(one.url))).toEqual([401, 'The link was revoked.']);
    }
    expect((await stranger(other.url)).status).toBe(200);
  });

  it('all of a file takes links and grants, but none that is made after it', async () => {
    const links = [await share(), await share({ follow: true })];
    await ask('POST', '/api/v1/grants/a%20b.txt', { network: '127.0.0.0/8', seconds: 60 });
    const { body } = await ask('DELETE', '/api/v1/shares/a%20b.txt');
    expect(body).toEqual({ grants: 1, cut: 0 });
    for (const { url } of links) expect((await stranger(url)).status).toBe(401);
    expect((await stranger('/fs/a%20b.txt')).status).toBe(401);
    const later = await share();
    expect((await stranger(later.url)).status).toBe(200);
    expect(later.signature).not.toBe(links[0]?.signature);
    sharing.clock.advance(60_000);
    expect((await stranger(later.url)).status).toBe(401);
  });

  it('takes every link of one second, however often it is shared and unshared in that', async () => {
    const links: ShareAnswer[] = [];
    for (let round = 0; round < 3; round += 1) {
      links.push(await share());
      expect((await stranger(links.at(-1)?.url ?? '')).status).toBe(200);
      await ask('DELETE', '/api/v1/shares/a%20b.txt');
      for (const { url } of links) expect((await stranger(url)).status).toBe(401);
    }
    expect((await stranger((await share()).url)).status).toBe(200);
  });

  it('is not undone by a clock that was ahead: its links do not count before their time, and it lengthens no later ones', async () => {
    const day = 86_400_000;
    const nowMs = sharing.clock.now();
    sharing.clock.set(nowMs + day);
    const early = await share({ seconds: 60 });
    sharing.clock.set(nowMs);
    expect(await reasonOf(await stranger(early.url))).toEqual([
      401,
      'The link does not count yet.',
    ]);
    await ask('DELETE', '/api/v1/shares/a%20b.txt');
    expect(Date.parse((await share({ seconds: 60 })).expiresAt)).toBe(nowMs + 60_000);
    sharing.clock.set(nowMs + day);
    await ask('DELETE', '/api/v1/shares/a%20b.txt');
    sharing.clock.set(nowMs);
    expect(await ask('POST', '/api/v1/shares/a%20b.txt', { seconds: 60 })).toMatchObject({
      status: 409,
      body: { error: { message: expect.stringContaining('by a clock that was ahead') } },
    });
  });

  it('all of a path takes links that follow it, also when its content was replaced or is gone', async () => {
    const { url } = await share({ follow: true });
    await sharing.server.files.add('/a b.txt', 'a new secret');
    await ask('DELETE', '/api/v1/shares/a%20b.txt');
    expect((await stranger(url)).status).toBe(401);
    const { url: other } = await share({ follow: true }, '/other.txt');
    await sharing.server.files.remove('/other.txt' as FilePath);
    expect((await ask('DELETE', '/api/v1/shares/other.txt')).status).toBe(404);
    await sharing.server.files.add('/other.txt', 'back again');
    expect((await stranger(other)).status).toBe(401);
  });

  it('all of a file takes links of its content that had another path', async () => {
    const { url } = await share();
    await sharing.server.files.move({
      from: '/a b.txt' as FilePath,
      to: '/moved' as FilePath,
      overwrite: false,
    });
    await ask('DELETE', '/api/v1/shares/moved');
    await sharing.server.files.move({
      from: '/moved' as FilePath,
      to: '/a b.txt' as FilePath,
      overwrite: false,
    });
    expect((await stranger(url)).status).toBe(401);
  });

  it('knows a link by its path, too, and refuses what is none', async () => {
    const { signature, url } = await share({ follow: true });
    await sharing.server.files.add('/a b.txt', 'replaced');
    const revoke = (query: string) => ask('DELETE', `/api/v1/shares?${query}`);
    expect((await revoke(`signature=${signature}&path=/other.txt`)).status).toBe(404);
    expect((await revoke('signature=nonsense')).status).toBe(400);
    expect((await revoke('')).status).toBe(400);
    expect((await stranger(url)).status).toBe(200);
    expect(
      (await revoke(`signature=${signature}&path=${encodeURIComponent('/a b.txt')}`)).status,
    ).toBe(200);
    expect((await stranger(url)).status).toBe(401);
    const denied = await stranger(`/api/v1/shares?signature=${signature}`, { method: 'DELETE' });
    expect(denied.status).toBe(401);
  });
});

describe('a download that runs', () => {
  const bytes = Buffer.alloc(24 * 2 ** 20, 'x');

  /** Begun, and not read any further. */
  const begin = async (url: string): Promise<IncomingMessage> => {
    const [answer] = (await once(httpGet(url), 'response')) as [IncomingMessage];
    expect(answer.statusCode).toBe(200);
    return answer;
  };
  const lengthOf = async (answer: IncomingMessage) => {
    let length = 0;
    for await (const chunk of answer) length += (chunk as Buffer).length;
    return length;
  };

  it('under a link is cut when that is revoked, and reads no more from its source', async () => {
    await sharing.server.files.add('/big', bytes);
    const { url, signature } = await share({}, '/big');
    const other = await share({ download: true }, '/big');
    const [cut, kept] = [await begin(url), await begin(other.url)];
    const { body } = await ask('DELETE', `/api/v1/shares?signature=${signature}`);
    expect(body).toEqual({ grants: 0, cut: 1 });
    await expect(lengthOf(cut)).rejects.toThrow(/aborted/);
    expect(await lengthOf(kept)).toBe(bytes.length);
    await expect
      .poll(() => sharing.server.files.opened.map((each) => each.bytes.destroyed))
      .toEqual([true, true]);
    const again = await ask('DELETE', `/api/v1/shares?signature=${other.signature}`);
    expect(again.body).toEqual({ grants: 0, cut: 0 });
  });

  it('under a grant is cut when that is taken back', async () => {
    await sharing.server.files.add('/big', bytes);
    await ask('POST', '/api/v1/grants/big', { network: '127.0.0.1', seconds: 60 });
    const cut = await begin(`${sharing.server.url}/fs/big`);
    const { body } = await ask('DELETE', '/api/v1/grants/big?network=127.0.0.1');
    expect(body).toEqual({ grants: 1, cut: 1 });
    await expect(lengthOf(cut)).rejects.toThrow(/aborted/);
  });

  it('is cut by a revocation that came between its judgement and its beginning', async () => {
    await sharing.server.files.add('/big', bytes);
    const { url, signature } = await share({}, '/big');
    const { rights } = sharing.server;
    const revocationsOf = rights.revocationsOf.bind(rights);
    // The answer is as it was before, and comes after the revocation.
    rights.revocationsOf = async (subjects) => {
      rights.revocationsOf = revocationsOf;
      const before = await revocationsOf(subjects);
      await ask('DELETE', `/api/v1/shares?signature=${signature}`);
      return before;
    };
    const outcome = await begin(url).then(lengthOf, (error: Error) => error);
    expect(outcome).toBeInstanceOf(Error);
  });

  it('is forgotten when its reader left before it began', async () => {
    await sharing.server.files.add('/big', bytes);
    const { url, signature } = await share({}, '/big');
    const { rights } = sharing.server;
    const revocationsOf = rights.revocationsOf.bind(rights);
    const request = httpGet(url).on('error', () => undefined);
    rights.revocationsOf = async (subjects) => {
      rights.revocationsOf = revocationsOf;
      request.destroy();
      // What comes after it was read after it.
      await stranger('/healthz');
      await stranger('/healthz');
      return await revocationsOf(subjects);
    };
    await expect
      .poll(() => JSON.stringify(sharing.server.lines))
      .toMatch(/"path":"\/fs\/big","status":(?:499|200)/);
    const { body } = await ask('DELETE', `/api/v1/shares?signature=${signature}`);
    expect(body).toEqual({ grants: 0, cut: 0 });
  });

  it('goes on when its time is over', async () => {
    await sharing.server.files.add('/big', bytes);
    const { url } = await share({}, '/big');
    await ask('POST', '/api/v1/grants/big', { network: '127.0.0.1', seconds: 60 });
    const both = [await begin(url), await begin(`${sharing.server.url}/fs/big`)];
    sharing.clock.advance(120_000);
    expect(await Promise.all(both.map(lengthOf))).toEqual([bytes.length, bytes.length]);
    expect((await stranger(url)).status).toBe(401);
    expect((await stranger('/fs/big')).status).toBe(401);
  });
});

describe('an access key', () => {
  const asks = async (key: string, method: string, path: string, body?: unknown) => {
    const answer = await fetch(`${sharing.server.url}${path}`, {
      method,
      headers: { ...json, 'SHARD-KEY': key },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: answer.status, body: (await answer.json()) as never };
  };
  beforeEach(async () => {
    await sharing.server.files.add('/team/x', 'of the team');
  });

  it('shares and takes back inside its prefix when its role lets it write', async () => {
    const key = await sharing.server.keyFor('write', '/team');
    const { status, body } = await asks(key, 'POST', '/api/v1/shares/team/x', { seconds: 60 });
    const { url, signature } = body as ShareAnswer;
    expect(status).toBe(201);
    expect((await stranger(url)).status).toBe(200);
    expect((await asks(key, 'DELETE', `/api/v1/shares?signature=${signature}`)).status).toBe(200);
    expect((await stranger(url)).status).toBe(401);
    const network = { network: '127.0.0.1', seconds: 60 };
    const granted = await asks(key, 'POST', '/api/v1/grants/team/x', network);
    expect(granted).toMatchObject({
      status: 201,
      body: { createdBy: key.slice(0, key.indexOf('.')) },
    });
    expect((await asks(key, 'GET', '/api/v1/grants/team')).body).toMatchObject({
      grants: [{ path: '/team/x' }],
    });
    expect((await asks(key, 'DELETE', '/api/v1/shares/team/x')).body).toMatchObject({ grants: 1 });
    expect(
      (await asks(key, 'PUT', '/api/v1/visibility/team/x', { visibility: 'public' })).status,
    ).toBe(200);
  });

  it.each([
    ['write', '/team', '/other.txt'],
    ['admin', '/team', '/other.txt'],
    ['read', '/', '/team/x'],
    ['write', '/tea', '/team/x'],
  ] as const)('of role %s and prefix %s does not share %s', async (role, prefix, path) => {
    const key = await sharing.server.keyFor(role, prefix);
    const { signature, url } = await share({}, path);
    const network = { network: '127.0.0.1', seconds: 60 };
    const answers = await Promise.all([
      asks(key, 'POST', `/api/v1/shares${path}`, { seconds: 60 }),
      asks(key, 'DELETE', `/api/v1/shares${path}`),
      asks(key, 'DELETE', `/api/v1/shares?signature=${signature}`),
      asks(key, 'DELETE', `/api/v1/shares?signature=${signature}&path=${path}`),
      asks(key, 'POST', `/api/v1/grants${path}`, network),
      asks(key, 'DELETE', `/api/v1/grants${path}`),
      asks(key, 'GET', `/api/v1/grants${path}`),
      asks(key, 'PUT', `/api/v1/visibility${path}`, { visibility: 'public' }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 403));
    expect((await stranger(url)).status).toBe(200);
    expect((await stranger(`/fs${path}`)).status).toBe(401);
  });

  it('that does not reach so far reads what a link or a grant opens to anybody', async () => {
    const key = await sharing.server.keyFor('read', '/team');
    const headers = { 'SHARD-KEY': key };
    const { url } = await share();
    expect((await stranger('/fs/a%20b.txt', { headers })).status).toBe(403);
    expect((await stranger(url, { headers })).status).toBe(200);
  });
});

describe('the log', () => {
  it('never holds a signature or a key', async () => {
    const { url, signature } = await share();
    const bad = signature.replace(/.$/, '!');
    await stranger(url);
    await stranger(`/fs/other.txt?signature=${signature}`);
    await stranger(`/fs/other.txt?signature=${bad}`);
    await stranger(`${url}&%`);
    await sharing.server.raw(`GET /fs/a%20b.txt?signature=${signature}#x`, { key: null });
    await sharing.server.raw(`GET /fs/ä?signature=${signature}`, { key: null });
    await stranger('/fs/other.txt', { headers: { 'SHARD-KEY': `${testKey} and more` } });
    await ask('DELETE', `/api/v1/shares?signature=${bad}`);
    await ask('DELETE', `/api/v1/shares?signature=${signature}`);
    await ask('PUT', `/api/v1/shares?signature=${signature}`);
    sharing.server.files.faults.open = new Error('broken') as never;
    await stranger((await share()).url);
    await turn();
    const text = JSON.stringify(sharing.server.lines);
    expect(sharing.server.lines.length).toBeGreaterThan(10);
    expect(text).not.toContain(signature.slice(0, 20));
    expect(text).not.toContain(testKey);
  });
});

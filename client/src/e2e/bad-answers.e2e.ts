import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { contentOf, md5Of } from './harness/content.ts';
import { temporaryDirectory } from './harness/guard.ts';
import { Program, startDfs, userEnvironment } from './harness/program.ts';
import { waitUntil } from './harness/wait-until.ts';

describe('get from a store that does not send what it says', () => {
  const servers: Server[] = [];
  afterAll(() => {
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
  });

  /** A store that answers as the test says, and the requests it got. */
  async function fakeStore(
    answer: (request: IncomingMessage, response: ServerResponse, count: number) => void,
  ) {
    const requests: IncomingMessage[] = [];
    const server = createServer((request, response) => {
      requests.push(request);
      answer(request, response, requests.length);
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1' }, resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const environment = {
      ...userEnvironment(temporaryDirectory('home')),
      DFS_URL: url,
      DFS_KEY: 'k',
    };
    return { requests, environment };
  }

  const right = contentOf('right', 200_000);
  const wrong = Buffer.from(right);
  wrong.writeUInt8(wrong.readUInt8(100_000) ^ 1, 100_000);
  const badNode = '0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b11';
  const headers = {
    'Content-Type': 'application/octet-stream',
    'Content-Length': String(right.length),
    ETag: `"${md5Of(right)}"`,
    'X-DFS-Node': badNode,
  };

  it('asks once more for another copy when the MD5 is wrong', async () => {
    const { requests, environment } = await fakeStore((_request, response, count) => {
      response.writeHead(200, headers).end(count === 1 ? wrong : right);
    });
    const folder = temporaryDirectory('second');
    const got = await startDfs(['get', '/file.bin'], { environment, cwd: folder }).finished;
    expect(got.code, got.stderr).toBe(0);
    expect(requests).toHaveLength(2);
    expect(requests[0]?.url).toBe('/fs/file.bin');
    expect(requests[1]?.url).toContain(`avoid=${badNode}`);
    expect(readFileSync(join(folder, 'file.bin')).equals(right)).toBe(true);
  });

  it('fails with 7 and leaves no file when it is wrong again', async () => {
    const { requests, environment } = await fakeStore((_request, response) => {
      response.writeHead(200, headers).end(wrong);
    });
    const folder = temporaryDirectory('wrong');
    writeFileSync(join(folder, 'older.bin'), 'older');
    for (const target of ['fresh.bin', 'older.bin']) {
      const got = await startDfs(['get', '/file.bin', target], { environment, cwd: folder })
        .finished;
      expect(got.code).toBe(7);
      expect(got.stderr).toContain(md5Of(right));
    }
    expect(requests).toHaveLength(4);
    expect(readdirSync(folder)).toEqual(['older.bin']);
    expect(readFileSync(join(folder, 'older.bin'), 'utf8')).toBe('older');
  });

  it('writes beside the target and renames when all is there', async () => {
    let finish: () => void = () => undefined;
    const { environment } = await fakeStore((_request, response) => {
      response.writeHead(200, headers);
      response.write(right.subarray(0, 100_000));
      finish = () => response.end(right.subarray(100_000));
    });
    const folder = temporaryDirectory('beside');
    const target = join(folder, 'target.bin');
    writeFileSync(target, 'as it was');
    const getting = startDfs(['get', '/file.bin', target], { environment });
    await waitUntil('half of it to lie beside the target', () => {
      const others = readdirSync(folder).filter((name) => name !== 'target.bin');
      return others.length === 1 && readFileSync(join(folder, others[0] ?? '')).length > 0;
    });
    expect(readFileSync(target, 'utf8')).toBe('as it was');
    finish();
    expect((await getting.finished).code).toBe(0);
    expect(readFileSync(target).equals(right)).toBe(true);
    expect(readdirSync(folder)).toEqual(['target.bin']);
  });

  it('leaves nothing when it is ended in the middle', async () => {
    const { environment } = await fakeStore((_request, response) => {
      response.writeHead(200, headers);
      response.write(right.subarray(0, 100_000));
    });
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      const folder = temporaryDirectory('ended');
      const getting = startDfs(['get', '/file.bin'], { environment, cwd: folder });
      await waitUntil('half of it to lie there', () => {
        const [staged] = readdirSync(folder);
        return staged && readFileSync(join(folder, staged)).length > 0;
      });
      expect((await getting.stop(signal)).code).toBe(code);
      expect(readdirSync(folder)).toEqual([]);
    }
  });

  it('writes into a named pipe instead of replacing it', async () => {
    const { environment } = await fakeStore((_request, response) => {
      response.writeHead(200, headers).end(right);
    });
    const pipe = join(temporaryDirectory('pipe'), 'pipe');
    execFileSync('mkfifo', [pipe]);
    const reading = new Program(['cat', pipe], { environment });
    const got = await startDfs(['get', '/file.bin', pipe], { environment }).finished;
    expect(got.code, got.stderr).toBe(0);
    expect((await reading.finished).bytes.equals(right)).toBe(true);
    expect(statSync(pipe).isFIFO()).toBe(true);
  });

  it('keeps the mode of a file that it replaces', async () => {
    const { environment } = await fakeStore((_request, response) => {
      response.writeHead(200, headers).end(right);
    });
    const target = join(temporaryDirectory('mode'), 'exist');
    for (const mode of [0o600, 0o664, 0o400]) {
      writeFileSync(target, 'older', { flag: 'a' });
      chmodSync(target, mode);
      const got = await startDfs(['get', '/file.bin', target], { environment }).finished;
      expect(got.code, got.stderr).toBe(0);
      expect(statSync(target).mode & 0o777).toBe(mode);
      chmodSync(target, 0o600);
      expect(readFileSync(target).equals(right)).toBe(true);
    }
  });

  it('follows a symbolic link, also one to where nothing is yet', async () => {
    const { environment } = await fakeStore((_request, response) => {
      response.writeHead(200, headers).end(right);
    });
    const folder = temporaryDirectory('links');
    mkdirSync(join(folder, 'real'));
    writeFileSync(join(folder, 'real', 'there.bin'), 'older', { mode: 0o600 });
    for (const [name, to] of [
      ['there', 'real/there.bin'],
      ['chain', 'there'],
      ['dangling', 'real/fresh.bin'],
    ] as const) {
      symlinkSync(to, join(folder, name));
      const got = await startDfs(['get', '/file.bin', name], { environment, cwd: folder }).finished;
      expect(got.code, got.stderr).toBe(0);
      expect(lstatSync(join(folder, name)).isSymbolicLink()).toBe(true);
      expect(readlinkSync(join(folder, name))).toBe(to);
      expect(readFileSync(join(folder, name)).equals(right)).toBe(true);
    }
    expect(statSync(join(folder, 'real/there.bin')).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(folder, 'real')).sort()).toEqual(['fresh.bin', 'there.bin']);
    symlinkSync('loop', join(folder, 'loop'));
    const loop = await startDfs(['get', '/file.bin', 'loop'], { environment, cwd: folder })
      .finished;
    expect([loop.code, loop.stderr]).toEqual([2, expect.stringContaining('loop')]);
  });

  it('says once why it waits before it tries again, and nothing with --json', async () => {
    const busy = JSON.stringify({ error: { code: 'unavailable', message: 'Busy.' } });
    const { environment } = await fakeStore((_request, response, count) => {
      if (count % 3 !== 0) response.writeHead(503).end(busy);
      else response.writeHead(200, headers).end(right);
    });
    const cwd = temporaryDirectory('busy');
    const got = await startDfs(['get', '/file.bin'], { environment, cwd }).finished;
    expect([got.code, got.stderr]).toEqual([0, 'dfs: Busy; trying again for up to 60 s\n']);
    const asJson = await startDfs(['get', '/file.bin', '--json'], { environment, cwd }).finished;
    expect([asJson.code, asJson.stderr]).toEqual([0, '']);
  });

  it('says so as well before it puts again', async () => {
    const answers = [503, 503, 201];
    const { environment } = await fakeStore((request, response, count) => {
      const error = { error: { code: 'unavailable', message: 'Busy.' } };
      const copies = { stored: 1, wanted: 2 };
      const stored = { path: '/small.txt', size: 5, md5: 'x', primary: { name: 'n' }, copies };
      const status = answers[count - 1] ?? 500;
      request.resume().on('end', () => {
        response.writeHead(status).end(JSON.stringify(status === 201 ? stored : error));
      });
    });
    const local = join(temporaryDirectory('busy-put'), 'small.txt');
    writeFileSync(local, 'small');
    const put = await startDfs(['put', local], { environment }).finished;
    expect([put.code, put.stderr]).toEqual([0, 'dfs: Busy; trying again for up to 60 s\n']);
  });

  it('does not wait for what only an administrator can mend', async () => {
    const error = { code: 'in-recovery', message: 'It waits.', hint: 'Restore.' };
    const { requests, environment } = await fakeStore((_request, response) => {
      response.writeHead(503, { 'Retry-After': '1' }).end(JSON.stringify({ error }));
    });
    const got = await startDfs(['get', '/file.bin', '-'], { environment }).finished;
    expect([got.code, got.stderr]).toEqual([6, 'dfs: It waits.\n     Restore.\n']);
    expect(requests).toHaveLength(1);
  });

  it('refuses what answers with something else than files', async () => {
    const { environment } = await fakeStore((_request, response) => {
      response.writeHead(200, { 'Content-Type': 'text/html', 'Content-Length': 2 }).end('hi');
    });
    const cwd = temporaryDirectory('web');
    const got = await startDfs(['get', '/file.bin'], { environment, cwd }).finished;
    expect([got.code, got.stderr]).toEqual([1, expect.stringContaining('is no dfs store')]);
    expect(readdirSync(cwd)).toEqual([]);
  });

  it('goes on where a broken answer stopped, for the same content only', async () => {
    const { requests, environment } = await fakeStore((request, response, count) => {
      if (count === 1) {
        response.writeHead(200, headers);
        response.write(right.subarray(0, 120_000), () => response.destroy());
        return;
      }
      const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1]);
      response
        .writeHead(206, {
          ...headers,
          'Content-Length': String(right.length - start),
          'Content-Range': `bytes ${start}-${right.length - 1}/${right.length}`,
        })
        .end(right.subarray(start));
    });
    const folder = temporaryDirectory('resumed');
    const got = await startDfs(['get', '/file.bin'], { environment, cwd: folder }).finished;
    expect(got.code, got.stderr).toBe(0);
    expect(readFileSync(join(folder, 'file.bin')).equals(right)).toBe(true);
    expect(requests[1]?.headers['if-range']).toBe(`"${md5Of(right)}"`);
  });

  it('begins anew when the file was replaced in between', async () => {
    const later = contentOf('later', 150_000);
    const { environment } = await fakeStore((_request, response, count) => {
      if (count === 1) {
        response.writeHead(200, headers);
        response.write(right.subarray(0, 120_000), () => response.destroy());
        return;
      }
      response
        .writeHead(200, {
          ...headers,
          'Content-Length': String(later.length),
          ETag: `"${md5Of(later)}"`,
        })
        .end(later);
    });
    const folder = temporaryDirectory('anew');
    const got = await startDfs(['get', '/file.bin'], { environment, cwd: folder }).finished;
    expect(got.code, got.stderr).toBe(0);
    expect(readFileSync(join(folder, 'file.bin')).equals(later)).toBe(true);
  });

  it('follows no address that the store names', async () => {
    const { environment } = await fakeStore((_request, response) => {
      response.writeHead(302, { Location: 'http://127.0.0.1:1/elsewhere' }).end();
    });
    const folder = temporaryDirectory('moved');
    const got = await startDfs(['get', '/file.bin'], { environment, cwd: folder }).finished;
    expect(got.code).not.toBe(0);
    expect(existsSync(join(folder, 'file.bin'))).toBe(false);
  });
});

/**
 * The reference every ratio is made with: one process, `node:http`, one directory. It promises
 * what a single careful server would: PUT answers 201 once the bytes were hashed, written beside
 * their place, fsynced, renamed and the directory fsynced; GET opens, asks the size and sends
 * pieces of 256 KiB as they are read. No tree, no rights, no copies, no check of what is read.
 *
 * Started by the bench with DFS_BENCH_ROOT; sends `{ port }` to its parent and ends with it.
 */
import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import { fsync as fsyncDescriptor, write, writev } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';

const readBytes = 256 * 1024;
const writeBufferBytes = 1024 * 1024;
const fsync = promisify(fsyncDescriptor);

const root = process.env['DFS_BENCH_ROOT'];
if (!root) throw new Error('DFS_BENCH_ROOT names no directory.');
const stagingDirectory = join(root, 'staging');
const knownDirectories = new Map<string, Promise<FileHandle>>();
let staged = 0;

await mkdir(stagingDirectory, { recursive: true });
const server = createServer((request, response) => {
  answer(request, response).catch((error: NodeJS.ErrnoException) => {
    if (response.headersSent) {
      response.destroy();
    } else {
      response.writeHead(error.code === 'ENOENT' ? 404 : 500).end(error.message);
    }
  });
});
server.requestTimeout = 0;
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  process.send?.({ port: (server.address() as AddressInfo).port });
});
process.on('disconnect', () => process.exit(0));

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = pathOf(request);
  if (request.method === 'PUT') await put(path, request, response);
  else if (request.method === 'GET') await get(path, response);
  else response.writeHead(405).end();
}

async function put(
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  staged += 1;
  const stagedPath = join(stagingDirectory, String(staged));
  const hash = createHash('md5');
  try {
    const file = await open(stagedPath, 'wx');
    try {
      await pipeline(request, new HashedFile(file.fd, hash));
      await fsync(file.fd);
    } finally {
      await file.close();
    }
    const directory = await directoryOf(path);
    await rename(stagedPath, path);
    await fsync(directory.fd);
  } catch (error) {
    await rm(stagedPath, { force: true });
    throw error;
  }
  const body = JSON.stringify({ md5: hash.digest('hex') });
  response.writeHead(201, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
  });
  response.end(body);
}

async function get(path: string, response: ServerResponse): Promise<void> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    response.writeHead(200, {
      'Content-Type': 'application/octet-stream',
      'Content-Length': size,
    });
    let sent = 0;
    while (sent < size) {
      // Fresh memory for each piece: the socket may still hold the one before.
      const buffer = Buffer.allocUnsafe(Math.min(readBytes, size - sent));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, sent);
      if (bytesRead === 0) throw new Error('The file became shorter while it was read.');
      sent += bytesRead;
      const hasRoom = response.write(buffer.subarray(0, bytesRead));
      if (!hasRoom) await drained(response);
    }
    response.end();
  } finally {
    await file.close();
  }
}

/** Resolves when there is room again; rejects when the client went away. */
async function drained(response: ServerResponse): Promise<void> {
  const abort = new AbortController();
  const onClose = () => abort.abort();
  response.once('close', onClose);
  try {
    await once(response, 'drain', { signal: abort.signal });
  } finally {
    response.off('close', onClose);
  }
}

/** Writes to a file, and hashes on this thread while the write is under way on another. */
class HashedFile extends Writable {
  private readonly descriptor: number;
  private readonly hash: Hash;

  constructor(descriptor: number, hash: Hash) {
    super({ highWaterMark: writeBufferBytes });
    this.descriptor = descriptor;
    this.hash = hash;
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    write(this.descriptor, chunk, (error, written) =>
      done(error ?? shortWrite(written, chunk.length)),
    );
    this.hash.update(chunk);
  }

  override _writev(items: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    const chunks = items.map((item) => item.chunk);
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    writev(this.descriptor, chunks, (error, written) => done(error ?? shortWrite(written, length)));
    for (const chunk of chunks) this.hash.update(chunk);
  }
}

function shortWrite(written: number, wanted: number): Error | null {
  return written === wanted ? null : new Error(`Only ${written} of ${wanted} bytes were written.`);
}

/** The directory of `path`, made when it is new and kept open, as a server with few of them may. */
function directoryOf(path: string): Promise<FileHandle> {
  const directory = dirname(path);
  const known = knownDirectories.get(directory);
  if (known !== undefined) return known;
  const opened = mkdir(directory, { recursive: true }).then(() => open(directory, 'r'));
  knownDirectories.set(directory, opened);
  return opened;
}

function pathOf(request: IncomingMessage): string {
  const [path = ''] = (request.url ?? '').split('?');
  if (path.includes('..')) throw new Error('This path leaves the directory.');
  return join(root ?? '', decodeURIComponent(path));
}

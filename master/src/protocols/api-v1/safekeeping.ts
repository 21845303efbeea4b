import { createReadStream, createWriteStream } from 'node:fs';
import { readdir, rm, statfs } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import {
  errorBodyOf,
  parseClusterId,
  type RestoreLine,
  type RestoreProgress,
  StoreError,
} from '@dfs/shared';
import type { RestoreRequest } from '../../restore/restorer.ts';
import type { Exchange } from '../http/exchange.ts';
import { checkServing, type Front, type Safekeeping } from '../http/front.ts';

/** Progress of one step is told so often, and the last line is repeated after so long a silence, so that nobody takes the connection for dead. */
const tellEveryMs = 500;
const repeatAfterMs = 10_000;

/** `GET /api/v1/backup`: a snapshot of this moment, gzipped, while everything goes on. */
export async function sendBackup(
  front: Front,
  { metadata }: Safekeeping,
  exchange: Exchange,
): Promise<void> {
  front.access.authorize(exchange.principal, 'admin');
  checkServing(front.nodes);
  const { response, isHead, id } = exchange;
  const day = new Date(front.clock.now()).toISOString().slice(0, 10);
  response.writeHead(200, {
    'Content-Type': 'application/gzip',
    'Content-Disposition': `attachment; filename="dfs-${day}.backup"`,
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    'X-Request-Id': id,
  });
  if (isHead) {
    response.end();
    return;
  }
  // A failure midway cuts the connection: nobody takes half of it for a backup.
  await pipeline(
    Readable.from(metadata.snapshot({ isConsistent: true }), { objectMode: false }),
    createGzip(),
    response,
  );
}

/** `POST /api/v1/restore`: answers lines as it goes. It runs to its end also when the client goes away. */
export async function runRestore(
  front: Front,
  { restorer, stagingDir }: Safekeeping,
  exchange: Exchange,
): Promise<void> {
  front.access.authorize(exchange.principal, 'admin');
  const request = requestOf(exchange);
  const staged = await stageBackup(exchange, stagingDir);
  const lines = new RestoreLines(exchange);
  let last: RestoreLine;
  try {
    const backup = staged === undefined ? {} : { backup: { open: () => createReadStream(staged) } };
    const report = await restorer.run({ ...request, ...backup }, (progress) =>
      lines.tell(progress),
    );
    last = { report };
  } catch (error) {
    // Logged by the restorer.
    last = errorBodyOf(error, exchange.id);
    if (error instanceof StoreError) exchange.failure = error;
  }
  if (staged !== undefined) await rm(staged, { force: true });
  lines.end(last);
}

/** Removes what a master that died in a restore left behind; to be called before requests come. */
export async function removeStagedBackups(stagingDir: string): Promise<void> {
  const names = await readdir(stagingDir).catch(() => []);
  for (const name of names.filter((each) => /^restore-[^/]*\.backup$/.test(each))) {
    await rm(join(stagingDir, name), { force: true });
  }
}

function requestOf({ query }: Exchange): RestoreRequest {
  const cluster = query.get('cluster');
  const into = query.get('into');
  if (into !== null && !isAbsolute(into)) {
    throw new StoreError('invalid-request', `${JSON.stringify(into)} is no absolute path.`, {
      hint: 'Name a new file on the machine of the master, from the root.',
    });
  }
  return {
    ...(cluster === null ? {} : { cluster: parseClusterId(cluster) }),
    ...(into === null ? {} : { into }),
    ...(query.get('acceptLoss') === '1' ? { acceptLoss: true } : {}),
  };
}

/** A backup that comes with the request is kept on disk until it is loaded: it is read twice. Gives its file. */
async function stageBackup(exchange: Exchange, stagingDir: string): Promise<string | undefined> {
  const { request, id } = exchange;
  const length = request.headers['content-length'];
  if ((length ?? '0') === '0' && request.headers['transfer-encoding'] === undefined) {
    return undefined;
  }
  await checkRoomFor(Number(length ?? 0), stagingDir);
  exchange.inviteBody();
  const file = join(stagingDir, `restore-${id}.backup`);
  try {
    await pipeline(request, createWriteStream(file, { flags: 'wx', mode: 0o600 }));
    return file;
  } catch (cause) {
    await rm(file, { force: true });
    throw new StoreError('incomplete-body', 'The backup did not arrive whole.', {
      hint: 'Send it again; nothing was changed.',
      cause,
    });
  }
}

async function checkRoomFor(sizeBytes: number, directory: string): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  if (bavail * bsize > sizeBytes) return;
  throw new StoreError(
    'no-room',
    `The master's disk has no room for a backup of ${sizeBytes} bytes.`,
  );
}

/** The answer, a line at a time. */
class RestoreLines {
  readonly #exchange: Exchange;
  readonly #repeat: NodeJS.Timeout;
  #last: RestoreProgress | undefined;
  #toldAtMs = 0;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
    exchange.response.writeHead(200, {
      'Content-Type': 'application/x-ndjson; charset=utf-8',
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      'X-Request-Id': exchange.id,
    });
    this.#repeat = setInterval(() => {
      if (this.#last) this.#write({ progress: this.#last });
    }, repeatAfterMs);
    this.#repeat.unref();
  }

  tell(progress: RestoreProgress): void {
    const now = performance.now();
    const isNew = progress.step !== this.#last?.step;
    this.#last = progress;
    if (!isNew && now - this.#toldAtMs < tellEveryMs) return;
    this.#toldAtMs = now;
    this.#write({ progress });
  }

  end(line: RestoreLine): void {
    clearInterval(this.#repeat);
    this.#write(line);
    this.#exchange.response.end();
  }

  /** Lines are few and short: a client that does not read them holds up nothing. */
  #write(line: RestoreLine): void {
    const { response } = this.#exchange;
    if (!response.destroyed) response.write(`${JSON.stringify(line)}\n`);
  }
}

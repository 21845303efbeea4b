import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, constants, mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { endProcess } from './child-process.ts';
import { HttpConnection } from './http-connection.ts';
import type { ServerUnderTest } from './server-under-test.ts';

const endPatienceMs = 5_000;
const startMaxMs = 5_000;

/**
 * nginx as a second reference for reading, with a configuration and a folder of its own. Serves
 * the files below `root`. Undefined where nginx is not installed.
 */
export async function startNginx(options: {
  root: string;
  workDirectory: string;
  authorization: string;
}): Promise<ServerUnderTest | undefined> {
  const program = await findProgram('nginx');
  if (!program) return undefined;
  const port = await freePort();
  await mkdir(options.workDirectory, { recursive: true });
  const configurationPath = join(options.workDirectory, 'nginx.conf');
  await writeFile(configurationPath, configuration({ ...options, port }));
  const child = spawn(
    program,
    ['-c', configurationPath, '-p', options.workDirectory, '-e', 'stderr'],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  await listening(port, once(child, 'exit'));
  return {
    name: 'nginx',
    target: { host: '127.0.0.1', port, authorization: options.authorization },
    processes: [],
    isReplicating: false,
    stop: async () => {
      await endProcess(child, 'SIGTERM', endPatienceMs);
    },
  };
}

function configuration(options: { root: string; workDirectory: string; port: number }): string {
  // As root, nginx would read files as nobody, who may not enter the bench's folder.
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${join(options.workDirectory, kind)};`)
    .join('\n  ');
  return `${user}
daemon off;
worker_processes 1;
pid ${join(options.workDirectory, 'nginx.pid')};
error_log stderr error;
events { worker_connections 256; }
http {
  ${folders}
  access_log off;
  sendfile on;
  tcp_nopush on;
  tcp_nodelay on;
  keepalive_requests 100000000;
  default_type application/octet-stream;
  server {
    listen 127.0.0.1:${options.port};
    root ${options.root};
  }
}
`;
}

async function findProgram(name: string): Promise<string | undefined> {
  // Debian keeps servers in /usr/sbin, which is not on every user's PATH.
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  for (const folder of folders) {
    const candidate = join(folder, name);
    const isProgram = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isProgram) return candidate;
  }
  return undefined;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('No free port was found.');
  return address.port;
}

async function listening(port: number, exited: Promise<unknown>): Promise<void> {
  let hasExited = false;
  exited.then(
    () => {
      hasExited = true;
    },
    () => {
      hasExited = true;
    },
  );
  const deadlineMs = performance.now() + startMaxMs;
  while (performance.now() < deadlineMs && !hasExited) {
    const connection = await HttpConnection.open('127.0.0.1', port).catch(() => undefined);
    if (connection) {
      connection.close();
      return;
    }
    await delay(25);
  }
  throw new Error('nginx did not start.');
}

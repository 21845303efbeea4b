import type { FilePath } from '@dfs/shared';
import { allowOrigins, TrustedProxies } from '@dfs/shared/serving';
import { afterAll, beforeAll } from 'vitest';
import { TestPublicServer, testKey } from '../../testing/test-public-server.ts';

/** What a call sends beside its path. */
export interface Call {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | FormData | URLSearchParams;
}

export const withKey = { 'shard-key': testKey };

/** A server for all tests of the file that calls this, with a public file, two private ones and a directory. */
export class PlainCalls {
  #server: TestPublicServer | undefined;

  constructor() {
    beforeAll(async () => {
      this.#server = await new TestPublicServer({
        crossOrigin: allowOrigins(['https://app.example']),
        proxies: TrustedProxies.of('loopback'),
      }).start();
      const { files } = this.#server;
      await files.add('/public.txt', 'for all', { isPublic: true });
      await files.add('/private.txt', 'for some');
      await files.add('/other.txt', 'for others');
      await files.makeDirectory('/dir' as FilePath);
    });
    afterAll(() => this.#server?.stop());
  }

  get server(): TestPublicServer {
    if (!this.#server) throw new Error('The server was not started.');
    return this.#server;
  }

  /** The answer to a call below `/api/v1`; without a key unless it is among the headers. */
  readonly call = async (path: string, { method = 'GET', headers = {}, body }: Call = {}) => {
    const answer = await fetch(`${this.server.url}/api/v1/${path}`, {
      method,
      headers,
      redirect: 'manual',
      ...(body === undefined ? {} : { body }),
    });
    return { status: answer.status, text: await answer.text(), headers: answer.headers };
  };
}

/** A form with a file as curl sends it, fields in the order given; an undefined name is a part without one. */
export function form(...fields: readonly (readonly [string | undefined, string, string?])[]): Call {
  const parts = fields.map(([name, value, filename]) => {
    const named = name === undefined ? '' : `; name="${name}"`;
    const file = filename === undefined ? '' : `; filename="${filename.replaceAll('\\', '\\\\')}"`;
    const type = filename === undefined ? '' : '\r\nContent-Type: application/octet-stream';
    return `--b0undary\r\nContent-Disposition: form-data${named}${file}${type}\r\n\r\n${value}\r\n`;
  });
  return {
    method: 'POST',
    headers: { ...withKey, 'content-type': 'multipart/form-data; boundary=b0undary' },
    body: `${parts.join('')}--b0undary--\r\n`,
  };
}

/** A part with a file. */
export const file = (content = 'bytes', name = 'source.bin') => ['file', content, name] as const;

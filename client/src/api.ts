import { Agent as TlsAgent } from 'node:https';
import { createRequire } from 'node:module';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { errorOfAnswer, StoreError, tlsTrustOf, trusting } from '@dfs/shared';
import type { AxiosInstance, AxiosResponse, AxiosStatic } from 'axios';
import type { ClientConfig } from './client-config.ts';

// The package's one-file build: its modules take three times as long to load, which every command would pay.
const { default: axios } = createRequire(import.meta.url)('axios') as { default: AxiosStatic };

/** Answers are small JSON, but a listing's page may take a moment on a busy store. */
const answerTimeoutMs = 60_000;

/** A small request, whose body is held and whose answer is short. */
export interface StoreRequest {
  readonly method: string;
  /** With query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly json?: unknown;
}

export interface ShortAnswer {
  readonly status: number;
  readonly text: string;
}

/** An answer whose body is still to be read. */
export interface StreamedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Readable;
}

/**
 * The store's public port as functions. Every rejection is a `StoreError`: of the kind that the store named, or `unavailable` with
 * the network's error as its cause.
 */
export class StoreApi {
  readonly url: string;
  readonly key: string | undefined;
  /** Ends whatever is under way; requests reject with `cancelled` then. */
  readonly signal: AbortSignal | undefined;
  /** Makes connections that know whom to trust; only where the store speaks TLS. */
  readonly tlsAgent: TlsAgent | undefined;
  readonly #axios: AxiosInstance;

  constructor(
    { url, key, ca }: ClientConfig,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ) {
    this.url = url;
    this.key = key;
    this.signal = signal;
    const isTls = url.startsWith('https:');
    this.tlsAgent = isTls
      ? new TlsAgent({ keepAlive: true, ...trusting(tlsTrustOf(ca)) })
      : undefined;
    this.#axios = axios.create({
      baseURL: url,
      adapter: 'http',
      // A proxy of the environment is for the web, not for the store.
      proxy: false,
      ...(this.tlsAgent ? { httpsAgent: this.tlsAgent } : {}),
      // Following redirects would hold every body in memory so that it could be sent again.
      maxRedirects: 0,
      maxBodyLength: Number.POSITIVE_INFINITY,
      decompress: false,
      headers: { ...authorisation(key), 'User-Agent': 'dfs' },
      validateStatus: () => true,
      ...(signal ? { signal } : {}),
    });
  }

  /** What the store answered to a request that has no long body in either direction; rejects from status 300 on. */
  async send({ method, path, headers = {}, json }: StoreRequest): Promise<ShortAnswer> {
    const response = await this.#send<string>({
      method,
      url: path,
      responseType: 'text',
      headers: {
        Accept: 'application/json',
        ...(json === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(json === undefined ? {} : { data: JSON.stringify(json) }),
    });
    if (response.status >= 300) throw errorOfResponse(response, response.data);
    return { status: response.status, text: response.data };
  }

  /** The JSON answer to a GET of `path` (with query). */
  async getJson<T>(path: string): Promise<T> {
    const response = await this.#send<string>({
      method: 'GET',
      url: path,
      responseType: 'text',
      timeout: answerTimeoutMs,
      headers: { Accept: 'application/json' },
    });
    if (response.status !== 200) throw errorOfResponse(response, response.data);
    return JSON.parse(response.data) as T;
  }

  /** Sends bytes that are held already. */
  async putBytes<T>(path: string, bytes: Uint8Array, headers: Record<string, string>): Promise<T> {
    const response = await this.#send<string>({
      method: 'PUT',
      url: path,
      data: bytes,
      responseType: 'text',
      // Without a type the store guesses one from the name; axios would claim a form.
      headers: { 'Content-Type': false, ...headers },
    });
    if (response.status >= 300) throw errorOfResponse(response, response.data);
    return JSON.parse(response.data) as T;
  }

  /** Opens a GET, or another request without a body, whose answer is streamed; 2xx only, anything else rejects. */
  async open(
    path: string,
    options: {
      method?: 'GET' | 'POST';
      headers?: Record<string, string>;
      signal?: AbortSignal;
    } = {},
  ): Promise<StreamedAnswer> {
    const response = await this.#send<Readable>({
      method: options.method ?? 'GET',
      url: path,
      responseType: 'stream',
      headers: options.headers ?? {},
      ...(options.signal ? { signal: options.signal } : {}),
    });
    if (response.status >= 300) throw errorOfResponse(response, await text(response.data));
    return {
      status: response.status,
      headers: response.headers as Record<string, string | undefined>,
      body: response.data,
    };
  }

  /** The same of a POST, which may send a stream of a known length. */
  async openPost(
    path: string,
    body?: { readonly bytes: Readable; readonly sizeBytes: number; readonly type: string },
  ): Promise<StreamedAnswer> {
    const response = await this.#send<Readable>({
      method: 'POST',
      url: path,
      responseType: 'stream',
      headers: body
        ? { 'Content-Type': body.type, 'Content-Length': String(body.sizeBytes) }
        : { 'Content-Length': '0' },
      ...(body ? { data: body.bytes } : {}),
    });
    if (response.status >= 300) throw errorOfResponse(response, await text(response.data));
    return {
      status: response.status,
      headers: response.headers as Record<string, string | undefined>,
      body: response.data,
    };
  }

  /** What a request or the body of its answer failed with, as a `StoreError`. */
  failure(error: unknown): StoreError {
    return this.signal?.aborted ? cancelled(error) : unreachable(this.url, error);
  }

  async #send<T>(request: Parameters<AxiosInstance['request']>[0]): Promise<AxiosResponse<T>> {
    try {
      return await this.#axios.request<T>(request);
    } catch (error) {
      throw this.failure(error);
    }
  }
}

export const authorisation = (key: string | undefined): Record<string, string> =>
  key === undefined ? {} : { Authorization: `Bearer ${key}` };

export const cancelled = (cause?: unknown) =>
  new StoreError('cancelled', 'It was interrupted.', { cause });

/** No answer, or a broken one, in words that a person can act on. */
export function unreachable(url: string, cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  const code = (cause as NodeJS.ErrnoException).code ?? 'no answer';
  const isAway = code === 'ECONNREFUSED' || code === 'ENOTFOUND';
  if (isCertificateTrouble(code)) {
    return new StoreError('unavailable', `The certificate of ${url} cannot be trusted (${code}).`, {
      hint: 'Name the file with the certificate of who signed it in DFS_TLS_CA, and an address that it was made for in DFS_URL.',
      cause,
    });
  }
  const message = isAway
    ? `No store answers at ${url} (${code}).`
    : `The connection to ${url} broke (${code}).`;
  return new StoreError('unavailable', message, {
    hint: isAway
      ? 'Start one with "dfs up", or name another address in DFS_URL.'
      : 'Try again; look at "dfs status" if it stays so.',
    cause,
  });
}

/** Codes of OpenSSL and of Node.js for a certificate that fails a check. */
const isCertificateTrouble = (code: string) =>
  /CERT|^UNABLE_TO_|^ERR_TLS_CERT|SELF_SIGNED/.test(code);

function errorOfResponse(response: AxiosResponse, body: string): StoreError {
  const retryAfter: unknown = response.headers['retry-after'];
  return errorOfAnswer(
    response.status,
    body,
    typeof retryAfter === 'string' ? retryAfter : undefined,
  );
}

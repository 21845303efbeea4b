import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import {
  type FilePath,
  type LogAnswer,
  type NodeId,
  type NodeName,
  parseFilePath,
  StoreError,
} from '@dfs/shared';
import type { LogEntry } from '../../metadata/metadata-repository.ts';
import { isoTime } from '../http/answers.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Front } from '../http/front.ts';
import { sendJson } from '../http/send.ts';

const limitDefault = 100;
const limitMax = 100_000;
const pollEveryMs = 300;
/** Rows of one poll: a follower that is slower than this loses the oldest. */
const pollRowsMax = 10_000;
const followersMax = 32;
const keepAliveMs = 30_000;

/** `GET /api/v1/log`: what was tried to make copies, newest last; with `?follow=1` a line for each as they come. */
export class LogRoute {
  readonly #front: Front;
  #followers = 0;

  constructor(front: Front) {
    this.#front = front;
  }

  async answer(exchange: Exchange): Promise<void> {
    const { access, metadata } = this.#front;
    const { query, principal } = exchange;
    const path = query.get('path');
    const ofPath = path === null ? {} : { path: parseFilePath(path) };
    access.authorize(principal, path === null ? 'admin' : 'read', ofPath);
    const limit = readLimit(query.get('limit'), path === null ? limitDefault : limitMax);
    const entries = await metadata.listLog({ ...ofPath, limit });
    if (query.get('follow') === '1') return await this.#follow(exchange, entries, ofPath);
    sendJson(
      exchange,
      200,
      entries.map((entry) => this.#answerOf(entry)),
    );
  }

  async #follow(
    exchange: Exchange,
    entries: readonly LogEntry[],
    ofPath: { path?: FilePath },
  ): Promise<void> {
    const { response, request, signal, id } = exchange;
    if (this.#followers >= followersMax) {
      throw new StoreError('too-many-requests', `${followersMax} follow the log already.`);
    }
    this.#followers += 1;
    try {
      // Nothing may be written for hours: so it is noticed when the other end is no more.
      request.socket.setKeepAlive(true, keepAliveMs);
      response.writeHead(200, {
        'Content-Type': 'application/x-ndjson; charset=utf-8',
        'Cache-Control': 'no-store',
        'X-Accel-Buffering': 'no',
        'X-Content-Type-Options': 'nosniff',
        'X-Request-Id': id,
      });
      response.flushHeaders();
      if (exchange.isHead) return void response.end();
      await this.#stream(exchange, entries, ofPath);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#followers -= 1;
    }
  }

  async #stream(
    { response, signal }: Exchange,
    first: readonly LogEntry[],
    ofPath: { path?: FilePath },
  ): Promise<void> {
    const { metadata } = this.#front;
    let entries = first;
    let afterId = first.at(-1)?.id ?? 0;
    for (;;) {
      if (entries.length > 0) {
        const lines = entries.map((entry) => `${JSON.stringify(this.#answerOf(entry))}\n`).join('');
        if (!response.write(lines)) await once(response, 'drain', { signal });
      }
      await wait(pollEveryMs, undefined, { signal });
      entries = await metadata.listLog({ ...ofPath, afterId, limit: pollRowsMax });
      afterId = entries.at(-1)?.id ?? afterId;
    }
  }

  #answerOf(entry: LogEntry): LogAnswer {
    return {
      id: entry.id,
      time: isoTime(entry.startedAtMs),
      path: entry.path,
      blob: entry.blobId,
      ...(entry.source === undefined ? {} : { source: this.#nameOf(entry.source) }),
      target: this.#nameOf(entry.target),
      milliseconds: entry.durationMs,
      outcome: entry.outcome,
      ...(entry.errorCode === undefined ? {} : { error: entry.errorCode }),
      ...(entry.message === undefined ? {} : { message: entry.message }),
    };
  }

  /** A node that was removed has no name any more. */
  #nameOf(id: NodeId): NodeName {
    return { id, name: this.#front.nodes.find(id)?.name ?? id };
  }
}

function readLimit(text: string | null, fallback: number): number {
  if (text === null) return fallback;
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= limitMax) return limit;
  throw new StoreError('invalid-request', 'The limit is no number of entries.', {
    hint: `Give a number from 1 to ${limitMax}.`,
  });
}

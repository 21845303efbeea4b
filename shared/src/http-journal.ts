import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { BlobReceipt } from './blob-store.ts';
import { StoreError } from './errors.ts';
import type { JournalRecord } from './journal-format.ts';
import type {
  JournalKeeper,
  JournalStatus,
  KeptSnapshot,
  SnapshotBody,
  SnapshotName,
} from './journal-keeper.ts';
import type { NodeClient } from './node-client.ts';
import { nodeHeaders } from './node-protocol.ts';

const snapshotPathOf = ({ epoch, from }: SnapshotName) => `/journal/snapshots/${epoch}-${from}`;

/** The journal that a storage node keeps, seen from afar. */
export class HttpJournal implements JournalKeeper {
  readonly #node: NodeClient;

  constructor(node: NodeClient) {
    this.#node = node;
  }

  journalStatus(signal?: AbortSignal): Promise<JournalStatus> {
    return this.#node.get<JournalStatus>('/journal', signal);
  }

  async appendRecords(lines: readonly string[], signal?: AbortSignal): Promise<{ last: number }> {
    if (lines.length === 0) throw new StoreError('invalid-request', 'There is no record to take.');
    const body = Buffer.from(`${lines.join('\n')}\n`);
    const headers = this.#node.changingHeaders();
    headers.push('content-type', 'application/x-ndjson');
    headers.push(nodeHeaders.md5, createHash('md5').update(body).digest('hex'));
    // The answer comes when the records are durable, and a busy disk is no silent node.
    const headersMs = this.#node.limits.idleMs;
    const answer = await this.#node.ask('POST', '/journal/records', headers, {
      body,
      headersMs,
      signal,
    });
    return this.#node.json(this.#node.expect(answer, 200));
  }

  async readRecords(after: number, signal?: AbortSignal): Promise<readonly JournalRecord[]> {
    const path = `/journal/records?after=${after}`;
    const answer = await this.#node.ask('GET', path, this.#node.readingHeaders(), { signal });
    const text = this.#node.expect(answer, 200).body.toString();
    return this.#node.understood(() =>
      text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as JournalRecord),
    );
  }

  async putSnapshot(
    name: SnapshotName,
    bytes: Readable,
    signal?: AbortSignal,
  ): Promise<KeptSnapshot> {
    const headers = this.#node.changingHeaders();
    headers.push('trailer', nodeHeaders.md5);
    const answer = await this.#node.put(snapshotPathOf(name), headers, bytes, {
      trailers: ({ md5 }: BlobReceipt) => ({ [nodeHeaders.md5]: md5 }),
      signal,
    });
    return this.#node.json(this.#node.expect(answer, 201));
  }

  async openSnapshot(name: SnapshotName, signal?: AbortSignal): Promise<SnapshotBody> {
    const { bytes, sizeBytes } = await this.#node.open(
      snapshotPathOf(name),
      this.#node.readingHeaders(),
      signal,
    );
    return { bytes, sizeBytes };
  }
}

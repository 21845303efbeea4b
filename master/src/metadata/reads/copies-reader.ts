import type { BlobId, NodeId } from '@dfs/shared';
import { jobIdOf } from '@dfs/shared';
import { type BlobState, blobCopiesOf, livingCopiesMax, replicaOf } from '../blob-state.ts';
import type { Database, Sql, Value } from '../database.ts';
import type { MetadataCaches } from '../metadata-caches.ts';
import type { BlobCopies, BlobCopiesPage, Replica, ReplicaState } from '../metadata-repository.ts';
import { type BlobAndCopyRow, blobStatesOf, blobsAndCopies } from '../rows.ts';
import { chunksOf, places } from '../sql-text.ts';
import { pathsOfBlobs } from './blob-paths.ts';

const pageMax = 1_000;
/** SQLite joins at most 500 queries in one. */
const nodesPerQuery = 100;

interface DueQuery {
  readonly nowMs: number;
  readonly limit: number;
}

interface DueRow {
  readonly blob_id: BlobId;
  readonly node_id: NodeId;
  readonly next_attempt_at: number;
}

/** Reads of copies: for readers of files from the cache, for the repair loop in pages. */
export class CopiesReader {
  readonly #database: Database;
  readonly #caches: MetadataCaches;

  constructor(database: Database, caches: MetadataCaches) {
    this.#database = database;
    this.#caches = caches;
  }

  async replicasOf(blobIds: readonly BlobId[]): Promise<ReadonlyMap<BlobId, readonly Replica[]>> {
    return this.#caches.replicas.load(blobIds, async (missing) => {
      const blobs = await readBlobs(this.#database, missing);
      return [...blobs.values()].map((blob) => [blob.id, replicasOf(blob)] as const);
    });
  }

  async dueReplications(
    query: DueQuery & { targets: readonly NodeId[]; except: ReadonlySet<string> },
  ): Promise<{ target: NodeId; blob: BlobCopies }[]> {
    return this.#database.read(async (sql) => {
      const limit = query.limit + query.except.size;
      const rows: DueRow[] = [];
      // From the most endangered on: mostly there is little due, and less than the limit.
      for (let rank = 0; rank <= livingCopiesMax && rows.length < limit; rank += 1) {
        const page = { rank, nowMs: query.nowMs, limit: limit - rows.length };
        rows.push(...(await readDue(sql, ['wanted', 'corrupt'], query.targets, page)));
      }
      const due = rows
        .filter((row) => !query.except.has(jobIdOf({ blobId: row.blob_id, target: row.node_id })))
        .slice(0, query.limit);
      const blobs = await this.#readBlobCopies(
        sql,
        due.map((row) => row.blob_id),
      );
      return due.flatMap(({ blob_id, node_id }) => {
        const blob = blobs.get(blob_id);
        return blob ? [{ target: node_id, blob }] : [];
      });
    });
  }

  async dueDrops(query: DueQuery & { nodes: readonly NodeId[] }): Promise<Replica[]> {
    return this.#database.read(async (sql) => {
      const rows = await readDue(sql, ['dropping'], query.nodes, { ...query, rank: 0 });
      const blobs = await readBlobs(
        sql,
        rows.map((row) => row.blob_id),
      );
      return rows.flatMap(({ blob_id, node_id }) => {
        const blob = blobs.get(blob_id);
        return blob ? replicasOf(blob).filter((replica) => replica.nodeId === node_id) : [];
      });
    });
  }

  async blobsShortOfCopies(page: { after?: BlobId; limit: number }): Promise<BlobCopiesPage> {
    const limit = pageOf(page.limit);
    return this.#database.read(async (sql) => {
      const rows = await sql.rows<{ id: BlobId }>(
        'select id from blobs where short > 0 and id > ? order by id limit ?',
        [page.after ?? '', limit + 1],
      );
      return this.#pageOfBlobs(sql, rows, limit, (row) => row.id);
    });
  }

  async blobsWithoutCopy(page: { after?: BlobId; limit: number }): Promise<BlobCopiesPage> {
    const limit = pageOf(page.limit);
    return this.#database.read(async (sql) => {
      const rows = await sql.rows<{ id: BlobId }>(
        `select id from blobs where unreferenced_since is null and id > ? and not exists
         (select 1 from replicas where blob_id = blobs.id and state = 'stored') order by id limit ?`,
        [page.after ?? '', limit + 1],
      );
      return this.#pageOfBlobs(sql, rows, limit, (row) => row.id);
    });
  }

  async blobsOnNode(
    nodeId: NodeId,
    page: { after?: string; limit: number },
  ): Promise<BlobCopiesPage> {
    const limit = pageOf(page.limit);
    return this.#database.read(async (sql) => {
      const rows = await sql.rows<{ id: BlobId; inventory_key: string }>(
        `select blob_id as id, inventory_key from replicas where node_id = ? and inventory_key > ?
         order by inventory_key limit ?`,
        [nodeId, page.after ?? '', limit + 1],
      );
      return this.#pageOfBlobs(sql, rows, limit, (row) => row.inventory_key);
    });
  }

  async copiesOn(nodeId: NodeId): Promise<number> {
    const [row] = await this.#database.rows<{ copies: number }>(
      'select count(*) as copies from replicas where node_id = ?',
      [nodeId],
    );
    return row?.copies ?? 0;
  }

  async lastCopiesOn(
    nodes: readonly NodeId[],
    others: readonly NodeId[],
  ): Promise<{ readonly blobs: number; readonly bytes: number }> {
    if (nodes.length === 0) return { blobs: 0, bytes: 0 };
    // An id that no node has stands in for an empty list.
    const elsewhere = others.length > 0 ? others : [''];
    const [row] = await this.#database.rows<{ blobs: number; bytes: number }>(
      `select count(*) as blobs, coalesce(sum(b.size_bytes), 0) as bytes from blobs b
       where b.unreferenced_since is null
       and b.id in (select blob_id from replicas where state = 'stored' and node_id in (${places(nodes)}))
       and not exists (select 1 from replicas o where o.blob_id = b.id and o.state = 'stored'
         and o.node_id in (${places(elsewhere)}))`,
      [...nodes, ...elsewhere],
    );
    return { blobs: row?.blobs ?? 0, bytes: row?.bytes ?? 0 };
  }

  async copiesToMove(
    nodes: readonly NodeId[],
  ): Promise<{ readonly copies: number; readonly bytes: number }> {
    if (nodes.length === 0) return { copies: 0, bytes: 0 };
    const [row] = await this.#database.rows<{ copies: number; bytes: number }>(
      `select count(*) as copies, coalesce(sum(b.size_bytes), 0) as bytes
       from replicas r join blobs b on b.id = r.blob_id
       where r.state = 'stored' and r.node_id in (${places(nodes)}) and b.unreferenced_since is null
       and (select count(*) from replicas o where o.blob_id = b.id and o.state <> 'dropping'
         and o.node_id not in (${places(nodes)})) < b.copies_wanted`,
      [...nodes, ...nodes],
    );
    return { copies: row?.copies ?? 0, bytes: row?.bytes ?? 0 };
  }

  /** `rows`: one more than the page has, when there is another one. */
  async #pageOfBlobs<Row extends { readonly id: BlobId }>(
    sql: Sql,
    rows: readonly Row[],
    limit: number,
    keyOf: (row: Row) => string,
  ): Promise<BlobCopiesPage> {
    const shown = rows.slice(0, limit);
    const copies = await this.#readBlobCopies(
      sql,
      shown.map((row) => row.id),
    );
    const blobs = shown.flatMap(({ id }) => copies.get(id) ?? []);
    const last = shown.at(-1);
    return rows.length > limit && last ? { blobs, next: keyOf(last) } : { blobs };
  }

  async #readBlobCopies(
    sql: Sql,
    ids: readonly BlobId[],
  ): Promise<ReadonlyMap<BlobId, BlobCopies>> {
    const blobs = await readBlobs(sql, ids);
    const paths = await pathsOfBlobs(sql, blobs.keys());
    const copies = new Map<BlobId, BlobCopies>();
    for (const blob of blobs.values()) {
      copies.set(blob.id, blobCopiesOf(blob, paths.get(blob.id) ?? blob.path));
    }
    return copies;
  }
}

const pageOf = (limit: number) => Math.max(1, Math.min(pageMax, limit));

const replicasOf = (blob: BlobState) => blob.copies.map((copy) => replicaOf(blob.id, copy));

async function readBlobs(queries: Sql, ids: readonly BlobId[]): Promise<Map<BlobId, BlobState>> {
  const blobs = new Map<BlobId, BlobState>();
  for (const some of chunksOf([...new Set(ids)], 1)) {
    const rows = await queries.rows<BlobAndCopyRow>(
      `${blobsAndCopies} where b.id in (${places(some)})`,
      some,
    );
    for (const [id, blob] of blobStatesOf(rows)) blobs.set(id, blob);
  }
  return blobs;
}

/** Of one rank, oldest due first. One small query per node and state, joined: each walks the index of due rows just as far as the limit. */
async function readDue(
  sql: Sql,
  states: readonly ReplicaState[],
  nodes: readonly NodeId[],
  { nowMs, limit, rank }: DueQuery & { readonly rank: number },
): Promise<DueRow[]> {
  const rows: DueRow[] = [];
  for (let at = 0; at < nodes.length; at += nodesPerQuery) {
    const queries: string[] = [];
    const values: Value[] = [];
    for (const node of nodes.slice(at, at + nodesPerQuery)) {
      for (const state of states) {
        // The literal says to both databases that the index of rows with work left will do.
        queries.push(`select * from (select blob_id, node_id, next_attempt_at from replicas
          where state <> 'stored' and state = ? and node_id = ? and living_copies = ? and next_attempt_at <= ?
          order by next_attempt_at limit ?) due_${queries.length}`);
        values.push(state, node, rank, nowMs, limit);
      }
    }
    rows.push(...(await sql.rows<DueRow>(queries.join(' union all '), values)));
  }
  return rows.sort((a, b) => a.next_attempt_at - b.next_attempt_at).slice(0, limit);
}

/**
 * The reference for listings: one process, `node:http`, the database's own driver. `GET /<name>` sends a line of JSON for each entry of the directory of that name, with what a
 * listing tells of it, read in pages by key. No rights, no tree, no caches.
 *
 * Started by the bench with DFS_BENCH_SQLITE; sends `{ port }` to its parent and ends with it.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';

interface Connection {
  all(sql: string, values: unknown[], done: (error: Error | null, rows: Row[]) => void): void;
}

interface Row {
  readonly id: string;
  readonly name: string;
  readonly kind: string;
  readonly modified_at: number;
  readonly file_id: string;
  readonly size_bytes: number;
  readonly md5: string;
  readonly content_type: string;
}

const pageLength = 1_000;
const file = process.env['DFS_BENCH_SQLITE'];
if (!file) throw new Error('DFS_BENCH_SQLITE names no database.');
/** The master's own driver: this folder has no dependencies. */
const { Database } = createRequire(new URL('../../master/package.json', import.meta.url))(
  'sqlite3',
) as { Database: new (file: string) => Connection };
const connection = new Database(file);
const all = promisify<string, unknown[], Row[]>(connection.all.bind(connection));

const server = createServer(async (request, response): Promise<void> => {
  const name = decodeURIComponent(request.url ?? '').slice(1);
  const [directory] = await all('select * from entries where name = ? and kind = ?', [
    name,
    'directory',
  ]);
  if (!directory) return void response.writeHead(404).end();
  response.writeHead(200, { 'Content-Type': 'application/x-ndjson' });
  for (let after: string | undefined = ''; after !== undefined; ) {
    const rows: Row[] = await all(
      `select e.name, e.kind, e.modified_at, e.file_id, f.size_bytes, f.md5, f.content_type
       from entries e left join files f on f.id = e.file_id
       where e.parent_id = ? and e.name > ? order by e.name limit ${pageLength}`,
      [directory.id, after],
    );
    if (!response.write(rows.map(lineOf).join(''))) await once(response, 'drain');
    after = rows.length < pageLength ? undefined : rows.at(-1)?.name;
  }
  response.end();
});
server.listen(0, '127.0.0.1', () => {
  process.send?.({ port: (server.address() as AddressInfo).port });
});
process.on('disconnect', () => process.exit(0));

const lineOf = (row: Row) =>
  `${JSON.stringify({
    name: row.name,
    kind: row.kind,
    modified: new Date(row.modified_at).toISOString(),
    id: row.file_id,
    size: row.size_bytes,
    md5: row.md5,
    contentType: row.content_type,
  })}\n`;

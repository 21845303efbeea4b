import { createRequire } from 'node:module';
import { promisify } from 'node:util';

/** As much of the driver as is used here. */
interface Connection {
  run(sql: string, done: (error: Error | null) => void): void;
  all(sql: string, done: (error: Error | null, rows: unknown[]) => void): void;
  close(done: (error: Error | null) => void): void;
}

/** The master's own driver: this folder has no dependencies. */
const { Database } = createRequire(new URL('../../master/package.json', import.meta.url))(
  'sqlite3',
) as { Database: new (file: string, done: (error: Error | null) => void) => Connection };

/** Rows written at once: the master, which runs meanwhile, waits no longer than a write may take. */
const rowsEach = 10_000;
const fileBytes = 10;
const md5 = '0123456789abcdef0123456789abcdef';

/** What a directory holds. */
export interface Seeding {
  /** The name of an empty directory, which nothing else has. */
  readonly directory: string;
  readonly files: number;
  /** Told now and then. */
  readonly onProgress?: (files: number) => void;
}

/**
 * Puts files into a directory of a running master behind its back, names and contents as rows: a million uploads would take an hour. They have no blobs, since no byte is read. Names are
 * numbers with zeros in front, so that their order is plain. Files of earlier seedings get other ids.
 */
export async function seedFiles(
  sqliteFile: string,
  { directory, files, onProgress }: Seeding,
): Promise<void> {
  const connection = await open(sqliteFile);
  const run = promisify(connection.run.bind(connection));
  try {
    await run('pragma busy_timeout = 20000');
    // Nothing of this has to survive a crash.
    await run('pragma synchronous = off');
    const { directoryId, first } = await placeFor(connection, directory);
    for (let from = 0; from < files; from += rowsEach) {
      const to = Math.min(files, from + rowsEach);
      await run('begin immediate');
      for (const sql of insertsOf({ directoryId, from, to, first })) await run(sql);
      await run('commit');
      onProgress?.(to);
    }
  } finally {
    await promisify(connection.close.bind(connection))();
  }
}

function insertsOf(part: {
  readonly directoryId: string;
  readonly from: number;
  readonly to: number;
  readonly first: number;
}): string[] {
  const { directoryId, from, to, first } = part;
  const count = to - from;
  const numbers = `with recursive numbers (n) as (values (${from}) union all select n + 1 from numbers where n < ${to - 1})`;
  const id = `'00000000-0000-7000-8001-' || printf('%012d', ${first} + n)`;
  const now = Date.now();
  const size = [count, 0, fileBytes * count].join(', ');
  return [
    `insert into files (id, size_bytes, md5, content_type, attributes, created_at)
     ${numbers} select ${id}, ${fileBytes}, '${md5}', 'text/plain', '{}', ${now} from numbers`,
    `insert into entries (id, parent_id, name, kind, file_id, created_at, modified_at, visibility)
     ${numbers} select ${id}, '${directoryId}', printf('%08d', n), 'file', ${id}, ${now}, ${now}, 'inherit' from numbers`,
    `insert into directory_sizes values ('${directoryId}', 0, 0, 0, ${size})
     on conflict (directory_id) do update set pending_files = pending_files + excluded.pending_files, pending_bytes = pending_bytes + excluded.pending_bytes`,
    `update totals set files = files + ${count}, logical_bytes = logical_bytes + ${fileBytes * count}`,
  ];
}

async function placeFor(
  connection: Connection,
  directory: string,
): Promise<{ directoryId: string; first: number }> {
  const all = promisify(connection.all.bind(connection));
  const [row] = (await all(
    `select id, (select count(*) from files) as first from entries where name = '${directory}' and kind = 'directory'`,
  )) as { id: string; first: number }[];
  if (!row) throw new Error(`There is no directory ${directory}.`);
  return { directoryId: row.id, first: row.first };
}

function open(file: string): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const connection = new Database(file, (error) => {
      if (error) reject(error);
      else resolve(connection);
    });
  });
}

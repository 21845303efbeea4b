import type { GroupCommit } from './group-commit.ts';

/** Of each table: a long delete would make every writer wait. */
const rowsMax = 1_000;

/** Deletes log rows, known keys and ended uploads from before these times, the oldest first. Gives how many went. */
export function purge(
  writes: GroupCommit,
  before: { logMs: number; idempotencyMs: number; uploadsMs: number },
): Promise<number> {
  const tables = [
    { table: 'replication_log', key: 'id', time: 'started_at', beforeMs: before.logMs },
    { table: 'idempotency_keys', key: 'key', time: 'created_at', beforeMs: before.idempotencyMs },
    { table: 'uploads', key: 'blob_id', time: 'expires_at', beforeMs: before.uploadsMs },
  ];
  let gone = 0;
  return writes.submit({
    rows: rowsMax,
    prepare: async (sql) => {
      gone = 0;
      for (const { table, key, time, beforeMs } of tables) {
        const rows = await sql.rows(
          `delete from ${table} where ${key} in
           (select ${key} from ${table} where ${time} < ? order by ${time} limit ?) returning ${key}`,
          [Math.round(beforeMs), rowsMax],
        );
        gone += rows.length;
      }
    },
    decide: () => gone,
  });
}

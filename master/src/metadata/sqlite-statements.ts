import type { Database, Statement } from 'sqlite3';

const statementsMax = 200;
/** A statement of many rows takes memory in proportion, and is seldom asked for again. */
const textLengthMax = 2_000;

type Done = (error: Error | null, rows: unknown[]) => void;

/**
 * Lets a connection keep the statements that it is asked for again, prepared: that spares one of two hops to another thread and a quarter of
 * the processor time of a small commit. A text is kept after its second use, when the first succeeded. Uses of one
 * text at the same time take turns.
 */
export function keepStatements(connection: Database): void {
  const succeeded = new Set<string>();
  const statements = new Map<string, Statement>();
  const preparing = new Map<string, Statement>();
  const all = connection.all.bind(connection) as (
    sql: string,
    values: unknown,
    done: Done,
  ) => Database;
  const close = connection.close.bind(connection);

  /** Kept once it is ready: of those who wait for a statement that cannot be prepared, the driver tells one. */
  const prepare = (sql: string): void => {
    const statement = connection.prepare(sql, (error: Error | null) => {
      preparing.delete(sql);
      succeeded.delete(sql);
      if (error) return;
      if (statements.size >= statementsMax) dropOldest(statements);
      statements.set(sql, statement);
    });
    preparing.set(sql, statement);
  };

  connection.all = ((sql: string, values: unknown, done: Done) => {
    const statement = statements.get(sql);
    if (statement) {
      statement.all(values, done);
      return connection;
    }
    if (succeeded.has(sql) && !preparing.has(sql)) prepare(sql);
    return all(sql, values, (error, rows) => {
      if (!error && sql.length <= textLengthMax && !preparing.has(sql) && !statements.has(sql))
        remember(succeeded, sql);
      done(error, rows);
    });
  }) as Database['all'];

  // A connection with open statements cannot be closed.
  connection.close = (done) => {
    for (const statement of [...statements.values(), ...preparing.values()]) statement.finalize();
    statements.clear();
    close(done);
  };
}

function remember(succeeded: Set<string>, sql: string): void {
  if (succeeded.size >= 2 * statementsMax) succeeded.clear();
  succeeded.add(sql);
}

function dropOldest(statements: Map<string, Statement>): void {
  for (const [sql, statement] of statements) {
    statements.delete(sql);
    statement.finalize();
    return;
  }
}

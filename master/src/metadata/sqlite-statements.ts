import type { Database, Statement } from 'sqlite3';

const statementsMax = 200;
/** A statement of many rows takes memory in proportion, and is seldom asked for again. */
const textLengthMax = 2_000;

type Done = (error: Error | null, rows: unknown[]) => void;

/**
 * Lets a connection keep the statements that it is asked for again, prepared: that spares one of two hops to another thread and a quarter of
 * the processor time of a small commit. A text is kept from its second use on, when it succeeded before. Uses of one
 * text at the same time take turns.
 */
export function keepStatements(connection: Database): void {
  const succeeded = new Set<string>();
  const statements = new Map<string, Statement>();
  const all = connection.all.bind(connection) as (
    sql: string,
    values: unknown,
    done: Done,
  ) => Database;
  const close = connection.close.bind(connection);

  const prepare = (sql: string, done: Done): Statement => {
    if (statements.size >= statementsMax) dropOldest(statements);
    const statement = connection.prepare(sql, (error: Error | null) => {
      // What was asked of it is then never answered.
      if (!error) return;
      statements.delete(sql);
      done(error, []);
    });
    statements.set(sql, statement);
    return statement;
  };

  connection.all = ((sql: string, values: unknown, done: Done) => {
    const statement = statements.get(sql) ?? (succeeded.has(sql) ? prepare(sql, done) : undefined);
    if (statement) {
      statement.all(values, done);
      return connection;
    }
    return all(sql, values, (error, rows) => {
      if (!error && sql.length <= textLengthMax) remember(succeeded, sql);
      done(error, rows);
    });
  }) as Database['all'];

  // A connection with open statements cannot be closed.
  connection.close = (done) => {
    for (const statement of statements.values()) statement.finalize();
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

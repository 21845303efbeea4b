import type { AccessRole, NewAccessKeyRequest } from '@dfs/shared';
import { Failures, namedInMessages, reasonOf } from '../messages.ts';
import { print, printJson, printTable, shown, timeText } from '../output.ts';
import { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';

interface JsonOption {
  readonly json?: boolean;
}

export interface AddKeyOptions extends JsonOption {
  readonly name?: string;
  readonly role: AccessRole;
  readonly prefix: string;
}

/** `dfs key add`: prints a new key alone on standard output, so that a script can keep it, and what it is for beside it. */
export async function addKey(session: Session, options: AddKeyOptions): Promise<void> {
  const { name, role, prefix, json } = options;
  const request: NewAccessKeyRequest = {
    ...(name === undefined ? {} : { name }),
    role,
    prefix: session.path(prefix),
  };
  const made = await new DfsClient(session.api).keys.add(request);
  if (json) return printJson(made);
  print(made.key);
  process.stderr.write(
    `Keep it: it is not shown again. Role ${made.role}, for ${shown(made.prefix)} and what is below; "dfs key rm ${made.id}" ends it.\n`,
  );
}

/** `dfs key ls`: which keys there are, without their secrets. */
export async function listKeys(session: Session, { json }: JsonOption): Promise<void> {
  const keys = await new DfsClient(session.api).keys.list();
  if (json) return printJson(keys);
  const rows = keys.map(({ id, role, prefix, created, usable, name }) => [
    id,
    usable ? role : `${role} (cannot be used)`,
    prefix,
    timeText(created),
    name,
  ]);
  if (rows.length > 0) printTable(['ID', 'ROLE', 'PREFIX', 'CREATED', 'NAME'], rows);
}

/** `dfs key rm`: ends keys; what fails is told, and the rest goes on. */
export async function removeKeys(
  session: Session,
  ids: readonly string[],
  options: JsonOption,
): Promise<void> {
  const { keys } = new DfsClient(session.api);
  const failures = new Failures('key rm', options);
  const removed: string[] = [];
  for (const word of ids) {
    // Who pastes a whole key means it; its secret is not sent along.
    const id = word.split('.', 1)[0] ?? word;
    try {
      await keys.remove(id);
      removed.push(id);
      if (!options.json) print(`${namedInMessages(id)} opens nothing any more`);
    } catch (error) {
      failures.add(error, `cannot remove the key ${namedInMessages(id)}: ${keyReasonOf(error)}`);
    }
  }
  if (options.json && removed.length > 0) printJson({ removed });
  failures.end();
}

const keyReasonOf = (error: unknown) => {
  const reason = reasonOf(error);
  return reason === 'No such file or directory' ? 'No such key' : reason;
};

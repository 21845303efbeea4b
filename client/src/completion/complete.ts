import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';
import { type CommandDescription, positionAfter, type ValueDescription } from './describe.ts';
import { nodeNames, remoteNames } from './remote-names.ts';

export interface Typed {
  readonly before: readonly string[];
  readonly text: string;
}

/** The words that the typed one may become: commands, options, values, names here and in the store. */
export async function complete(
  program: CommandDescription,
  { before, text }: Typed,
  store: { session: Session; client: DfsClient },
): Promise<string[]> {
  const { command, value, allowsOptions, allowsCommands } = positionAfter(program, before);
  if (allowsOptions && text.startsWith('-') && text !== '-') {
    const flags = command.options.flatMap(({ short, long }) => [long ?? short ?? '']);
    return flags.filter((flag) => flag.startsWith(text)).toSorted();
  }
  const commands = allowsCommands ? command.commands : [];
  const names = commands.map(({ name }) => name).filter((name) => name.startsWith(text));
  const values = value ? await valuesOf(value, text, store) : [];
  return [...names, ...values];
}

async function valuesOf(
  { kind, words }: ValueDescription,
  text: string,
  { session, client }: { session: Session; client: DfsClient },
): Promise<string[]> {
  switch (kind) {
    case 'words':
      return words.filter((word) => word.startsWith(text));
    case 'local':
      return localNames(text);
    case 'remote':
      return remoteNames(session, client, text);
    case 'remote-directory':
      return remoteNames(session, client, text, { onlyDirectories: true });
    case 'either': {
      const remote = text.startsWith('/') ? await remoteNames(session, client, text) : [];
      return [...new Set([...localNames(text), ...remote])];
    }
    case 'node':
      return nodeNames(client, text);
    case 'free':
      return [];
  }
}

function localNames(text: string): string[] {
  const slash = text.lastIndexOf('/') + 1;
  const folder = text.slice(0, slash);
  const start = text.slice(slash);
  try {
    return readdirSync(folder === '' ? '.' : folder)
      .filter((name) => name.startsWith(start) && (start !== '' || !name.startsWith('.')))
      .toSorted()
      .map((name) => folder + name + (isDirectory(join(folder || '.', name)) ? '/' : ''));
  } catch {
    // No such folder: nothing to offer.
    return [];
  }
}

const isDirectory = (path: string) =>
  statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

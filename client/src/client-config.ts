import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { EnvironmentReader, readTlsCa } from '@dfs/shared';

/** Where the client finds the store and what opens it. */
export interface ClientConfig {
  readonly url: string;
  readonly key: string | undefined;
  /** PEM of certificates that may vouch for the store, beside those that Node.js trusts anyway. */
  readonly ca?: string | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

const defaultUrl = 'http://127.0.0.1:7040';

/** The user's configuration file: `dfs/config.json` under `XDG_CONFIG_HOME`, else under `~/.config`. */
export const configFileOf = (environment: Environment) =>
  join(environment['XDG_CONFIG_HOME'] || join(homedir(), '.config'), 'dfs', 'config.json');

/** Where `dfs up` keeps data by default: `dfs` under `XDG_DATA_HOME`, else under `~/.local/share`. */
export const dataDirOf = (environment: Environment) =>
  join(environment['XDG_DATA_HOME'] || join(homedir(), '.local', 'share'), 'dfs');

/** What the command remembers of its user: `dfs` under `XDG_STATE_HOME`, else under `~/.local/state`. */
export const stateDirOf = (environment: Environment) =>
  join(environment['XDG_STATE_HOME'] || join(homedir(), '.local', 'state'), 'dfs');

/** What it can find out again: `dfs` under `XDG_CACHE_HOME`, else under `~/.cache`. */
export const cacheDirOf = (environment: Environment) =>
  join(environment['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'dfs');

/**
 * Address and key from `DFS_URL` and `DFS_KEY` (or the file `DFS_KEY_FILE`), else from the configuration file, else the default address without a key.
 * Throws `ConfigurationError` when the file that `DFS_TLS_CA` names cannot be used.
 */
export function readClientConfig(environment: Environment): ClientConfig {
  const file = readConfigFile(configFileOf(environment));
  const url = environment['DFS_URL']?.trim() || file.url || defaultUrl;
  // A key belongs to one store: the file's key is not sent to an address that came from elsewhere.
  const fileKey = url.replace(/\/+$/, '') === file.url ? file.key : undefined;
  const key = new EnvironmentReader(environment).secret('DFS_KEY') ?? fileKey;
  const read = new EnvironmentReader(environment);
  const ca = readTlsCa(read);
  read.finish();
  return { url: url.replace(/\/+$/, ''), key, ca };
}

function readConfigFile(path: string): { url?: string; key?: string } {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as { url?: string; key?: string };
  } catch {
    // Absent or unreadable: the store says itself that a key is missing.
    return {};
  }
}

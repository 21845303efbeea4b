import { type FilePath, parseFilePath } from '@dfs/shared';
import { StoreApi } from './api.ts';
import { readClientConfig } from './client-config.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** What the commands of one user work with; made when it is asked for, since many a command needs none of it. */
export class Session {
  readonly environment: Environment;
  #api: StoreApi | undefined;

  constructor(environment: Environment) {
    this.environment = environment;
  }

  /** The store that the environment names. Throws `ConfigurationError`. */
  get api(): StoreApi {
    this.#api ??= new StoreApi(readClientConfig(this.environment));
    return this.#api;
  }

  /** A path of the store as the user wrote it. Throws `invalid-path`. */
  path(text: string): FilePath {
    return parseFilePath(text);
  }
}

import type { FilePath } from '@dfs/shared';
import { StoreApi } from './api.ts';
import { type ClientConfig, readClientConfig, stateDirOf } from './client-config.ts';
import { WorkingDirectory } from './working-directory.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** What the commands of one user work with; made when it is asked for, since many a command needs none of it. */
export class Session {
  readonly environment: Environment;
  #config: ClientConfig | undefined;
  #api: StoreApi | undefined;
  #directory: WorkingDirectory | undefined;

  constructor(environment: Environment) {
    this.environment = environment;
  }

  /** The store that the environment names. Throws `ConfigurationError`. */
  get api(): StoreApi {
    this.#api ??= new StoreApi(this.#readConfig());
    return this.#api;
  }

  /** The user's current directory in that store. */
  get directory(): WorkingDirectory {
    this.#directory ??= new WorkingDirectory({
      url: this.#readConfig().url,
      stateDir: stateDirOf(this.environment),
    });
    return this.#directory;
  }

  /** A path of the store as the user wrote it: relative to the current directory, with `.` and `..`. Throws `invalid-path`. */
  path(text: string): FilePath {
    return this.directory.resolve(text);
  }

  #readConfig(): ClientConfig {
    this.#config ??= readClientConfig(this.environment);
    return this.#config;
  }
}

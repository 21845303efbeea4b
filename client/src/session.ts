import type { FilePath } from '@dfs/shared';
import { StoreApi } from './api.ts';
import { type ClientConfig, readClientConfig, stateDirOf } from './client-config.ts';
import type { Questions } from './questions.ts';
import { WorkingDirectory } from './working-directory.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** What a shell gives to the commands of one of its lines. */
export interface LineOptions {
  /** Ends what is under way. */
  readonly signal?: AbortSignal;
  readonly literals?: ReadonlySet<string>;
  readonly directory?: WorkingDirectory;
  readonly questions?: Pick<Questions, 'ask' | 'close'>;
}

/** What the commands of one user work with; made when it is asked for, since many a command needs none of it. */
export class Session {
  readonly environment: Environment;
  #config: ClientConfig | undefined;
  #api: StoreApi | undefined;
  #directory: WorkingDirectory | undefined;
  #questions: Pick<Questions, 'ask' | 'close'> | undefined;
  /** Words that mean themselves, whatever they hold: a shell knows what was quoted. */
  readonly literals: ReadonlySet<string>;
  readonly #signal: AbortSignal | undefined;
  readonly #isInShell: boolean;

  constructor(environment: Environment, line: LineOptions = {}) {
    this.environment = environment;
    this.#signal = line.signal;
    this.literals = line.literals ?? new Set();
    this.#directory = line.directory;
    this.#questions = line.questions;
    this.#isInShell = line.questions !== undefined;
  }

  /** The store that the environment names. Throws `ConfigurationError`. */
  get api(): StoreApi {
    this.#api ??= new StoreApi(this.#readConfig(), { signal: this.#signal });
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

  /** The same user, store and directory for one line of a shell. */
  forLine(line: Omit<LineOptions, 'directory'>): Session {
    return new Session(this.environment, { ...line, directory: this.directory });
  }

  /** Whether standard input is for the command; a shell reads its lines there. */
  get ownsStandardInput(): boolean {
    return !this.#isInShell;
  }

  /** Asks whoever runs the command; undefined when nobody answers. */
  async ask(question: string): Promise<string | undefined> {
    // Loaded here: few commands ask.
    this.#questions ??= new (await import('./questions.ts')).Questions();
    return this.#questions.ask(question);
  }

  /** At the end of a command. */
  async close(): Promise<void> {
    await this.#questions?.close();
  }

  #readConfig(): ClientConfig {
    this.#config ??= readClientConfig(this.environment);
    return this.#config;
  }
}

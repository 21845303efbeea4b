/** A real server started for a test. */
export interface TestServer {
  readonly url: string;
  /** Ends it in order and deletes its data. */
  stop(): Promise<void>;
  /** Ends it as a crash does (SIGKILL); its data stay for `restart`. */
  kill(): Promise<void>;
  /** Starts it again on the same port and data. */
  restart(): Promise<void>;
}

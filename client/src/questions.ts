import { linesOf } from './lines.ts';

/** Questions on standard error, answered by the lines of standard input: a terminal's, or a pipe's. */
export class Questions {
  #lines: AsyncGenerator<string, void, undefined> | undefined;

  /** Undefined once no more answers come. */
  async ask(question: string): Promise<string | undefined> {
    process.stderr.write(question);
    this.#lines ??= linesOf(process.stdin);
    const { value } = await this.#lines.next();
    return value ?? undefined;
  }

  /** Lets go of standard input, which would hold the process. */
  async close(): Promise<void> {
    await this.#lines?.return();
  }
}

/** As coreutils take it: whatever starts with a y agrees. */
export const isYes = (answer: string | undefined) => /^\s*y/i.test(answer ?? '');

import { PassThrough } from 'node:stream';
import { Program } from './program.ts';

/** Lines of a page that people paste into a shell, and what comes of them. */
export interface CopyableBlock {
  /** The heading above. */
  readonly section: string;
  /** Its first line, for the name of a test. */
  readonly title: string;
  /** `sh` is pasted; `sh <kind>` is done in another way. */
  readonly kind: string;
  readonly lines: readonly string[];
  /** Matches what the page says that it prints; anything where the page says nothing. */
  readonly expected: RegExp;
}

/** The blocks of a page: each ```` ```sh ````, with the ```` ```text ```` that follows it at once. In that, `…` stands for anything. */
export function readBlocks(markdown: string): CopyableBlock[] {
  const blocks: CopyableBlock[] = [];
  let section = '';
  const pattern = /^## (.*)$|^```sh ?(\w*)\n([\s\S]*?)^```\n(?:```text\n([\s\S]*?)^```\n)?/gm;
  for (const [, heading, kind, body, output] of markdown.matchAll(pattern)) {
    if (heading !== undefined) {
      section = heading;
      continue;
    }
    const lines = (body ?? '').trimEnd().split('\n');
    const title = lines.find((line) => !/^\s*#/.test(line))?.replace(/ \\$/, ' …') ?? '';
    blocks.push({ section, title, kind: kind || 'sh', lines, expected: patternOf(output) });
  }
  return blocks;
}

function patternOf(output: string | undefined): RegExp {
  if (output === undefined) return /^/;
  const parts = output
    .trimEnd()
    .split('…')
    .map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
  return new RegExp(`^${parts.join('[^]*?')}$`);
}

/** One shell that goes on between blocks, as a person's does. */
export class Shell {
  readonly #program: Program;
  readonly #input = new PassThrough();
  #count = 0;

  constructor(cwd: string) {
    this.#program = new Program(['bash', '--norc'], {
      cwd,
      stdin: this.#input,
      environment: process.env,
    });
  }

  /** What lines print on both outputs but for curl's progress, and the status of the last one. */
  async paste(lines: string): Promise<{ readonly output: string; readonly status: number }> {
    this.#count += 1;
    const [begin, end] = [`<begin ${this.#count}>`, `<end ${this.#count}`];
    this.#input.write(`echo '${begin}'\n{\n${lines}\n} 2> errors.txt\necho; echo '${end}' $?'>'\n`);
    const [, output = '', status] = await this.#program.printed(
      new RegExp(`${begin}\\n([^]*?)\\n${end} (\\d+)>`),
    );
    return { output, status: Number(status) };
  }

  async close(): Promise<void> {
    this.#input.end('exit\n');
    await this.#program.stop();
  }
}

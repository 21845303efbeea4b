import { parseArgs } from 'node:util';

export interface BenchOptions {
  /** Names of cases, or beginnings of them; all when empty. */
  only: string[];
  /** Measured rounds of each case; a warm-up round comes first. */
  rounds: number;
  /** How long a round of small requests lasts. */
  roundMs: number;
  bigFileBytes: number;
  /** Where the servers keep their files; a folder is made inside and removed. */
  directory: string | undefined;
  format: 'text' | 'json' | 'markdown';
  /** Compares the bare server with a second one of its kind: shows the noise, needs no cluster. */
  isSelfCheck: boolean;
  /** Prints the last complete run instead of making one. */
  isLastRun: boolean;
}

export const usage = `npm run bench -- [options]

  --only NAME      only cases whose name begins so; may be repeated
  --rounds N       measured rounds of each case (7); a warm-up round comes first
  --seconds N      length of a round of small requests (2)
  --big-mib N      size of the big file in MiB (256)
  --dir DIR        where the servers keep their files (the system's temporary directory)
  --json           prints the whole result as JSON
  --markdown       prints the table as the README shows it
  --last           prints the last complete run instead of making one
  --self-check     compares the bare server with itself: every ratio should be near 1
  --list           prints the names of the cases
`;

const flags = {
  only: { type: 'string', multiple: true },
  rounds: { type: 'string', default: '7' },
  seconds: { type: 'string', default: '2' },
  'big-mib': { type: 'string', default: '256' },
  dir: { type: 'string' },
  json: { type: 'boolean', default: false },
  markdown: { type: 'boolean', default: false },
  last: { type: 'boolean', default: false },
  'self-check': { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

/** Reads the command line. Throws an error with a plain message when it is wrong. */
export function parseOptions(argv: string[]): BenchOptions | 'help' | 'list' {
  const { values } = parseArgs({ args: argv, options: flags });
  if (values.help) return 'help';
  if (values.list) return 'list';
  const rounds = positive('--rounds', values.rounds);
  if (!Number.isInteger(rounds)) throw new Error('--rounds takes a whole number.');
  const formats = { json: values.json, markdown: values.markdown };
  if (formats.json && formats.markdown) throw new Error('Give --json or --markdown, not both.');
  return {
    only: values.only ?? [],
    rounds,
    roundMs: positive('--seconds', values.seconds) * 1000,
    bigFileBytes: Math.round(positive('--big-mib', values['big-mib']) * 1024 * 1024),
    directory: values.dir,
    format: formats.json ? 'json' : formats.markdown ? 'markdown' : 'text',
    isSelfCheck: values['self-check'],
    isLastRun: values.last,
  };
}

function positive(flag: string, text: string): number {
  const value = Number(text);
  if (!(value > 0) || !Number.isFinite(value)) throw new Error(`${flag} takes a number above 0.`);
  return value;
}

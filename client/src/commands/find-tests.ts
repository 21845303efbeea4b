import { StoreError } from '@dfs/shared';
import { momentOf } from '../dates.ts';
import { namePattern } from '../remote-paths/name-pattern.ts';

/** What is known of a name that `find` looks at. */
export interface Candidate {
  /** As it is shown: from the starting point on. */
  readonly text: string;
  readonly name: string;
  readonly kind: 'file' | 'directory';
  readonly size?: number;
  readonly modified: string;
}

export type FindTest = (candidate: Candidate) => boolean;

export interface FindTestOptions {
  readonly name?: readonly string[];
  readonly iname?: readonly string[];
  readonly path?: readonly string[];
  readonly type?: readonly string[];
  readonly size?: readonly string[];
  readonly mtime?: readonly string[];
  readonly mmin?: readonly string[];
  /** The time of modification of the file that `--newer` names. */
  readonly newer?: Date;
  readonly newermt?: readonly string[];
}

/** One test that holds when all of them do. Throws `invalid-request`. */
export function findTest(options: FindTestOptions, now: Date): FindTest {
  const dots = { matchesLeadingDot: true };
  const tests: FindTest[] = [
    ...each(options.name, (text) => {
      const pattern = namePattern(text, dots);
      return ({ name }) => pattern.matches(name);
    }),
    ...each(options.iname, (text) => {
      const pattern = namePattern(text, { ...dots, ignoresCase: true });
      return ({ name }) => pattern.matches(name);
    }),
    ...each(options.path, (text) => {
      const pattern = namePattern(text, dots);
      return (candidate) => pattern.matches(candidate.text);
    }),
    ...each(options.type, typeTest),
    ...each(options.size, sizeTest),
    ...each(options.mtime, (text) => ageTest(text, { now, unitMs: 86_400_000, option: 'mtime' })),
    ...each(options.mmin, (text) => ageTest(text, { now, unitMs: 60_000, option: 'mmin' })),
    ...each(options.newermt, (text) => newerThan(momentOf(text, now))),
    ...(options.newer ? [newerThan(options.newer)] : []),
  ];
  return (candidate) => tests.every((test) => test(candidate));
}

const each = (texts: readonly string[] | undefined, make: (text: string) => FindTest) =>
  (texts ?? []).map(make);

const newerThan =
  (moment: Date): FindTest =>
  ({ modified }) =>
    new Date(modified) > moment;

function typeTest(text: string): FindTest {
  const kinds = text.split(',').map((letter) => {
    if (letter === 'f') return 'file';
    if (letter === 'd') return 'directory';
    throw refuse(`unknown argument to --type: ${text}`, 'It is f for files or d for directories.');
  });
  return ({ kind }) => (kinds as string[]).includes(kind);
}

const unitBytes: Readonly<Record<string, number>> = {
  '': 512,
  b: 512,
  c: 1,
  w: 2,
  k: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
};

/** As find has it: sizes are rounded up to whole units, of 512 bytes unless another is named; directories have none here. */
function sizeTest(text: string): FindTest {
  const [, sign, count, unit = ''] = /^([+-])?(\d{1,15})([bcwkMGT])?$/.exec(text) ?? [];
  if (count === undefined) {
    throw refuse(`invalid --size ${JSON.stringify(text)}`, 'Write 100c, +10k, -5M or 1G.');
  }
  const bytes = unitBytes[unit] ?? 1;
  return ({ size }) =>
    size !== undefined && compares(Math.ceil(size / bytes), { sign, count: Number(count) });
}

/** The age in whole units, what is left over not counted. */
function ageTest(
  text: string,
  { now, unitMs, option }: { now: Date; unitMs: number; option: string },
): FindTest {
  const [, sign, count] = /^([+-])?(\d{1,9})$/.exec(text) ?? [];
  if (count === undefined) {
    throw refuse(
      `invalid --${option} ${JSON.stringify(text)}`,
      'Write 7, +7 for longer ago or -7 for less.',
    );
  }
  return ({ modified }) => {
    const age = Math.floor((now.getTime() - new Date(modified).getTime()) / unitMs);
    return compares(age, { sign, count: Number(count) });
  };
}

function compares(value: number, { sign, count }: { sign: string | undefined; count: number }) {
  if (sign === '+') return value > count;
  return sign === '-' ? value < count : value === count;
}

const refuse = (message: string, hint: string) =>
  new StoreError('invalid-request', message, { hint });

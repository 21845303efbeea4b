import { StoreError } from '@dfs/shared';

/** The tests of `dfs find` that take a value, and those that do not. */
const withValue = [
  'name',
  'iname',
  'path',
  'type',
  'size',
  'mtime',
  'mmin',
  'newer',
  'newermt',
  'maxdepth',
  'mindepth',
];
const alone = ['print', 'print0', 'empty'];
const operators = new Set(['!', '(', ')', '-o', '-or', '-a', '-and', '-not', ',']);

/**
 * `-name '*.txt'`, as find has always been called, as the `--name=*.txt` that options are here. Everything else stays. Throws `invalid-request` at
 * operators, which would be taken for paths.
 */
export function findArguments(args: readonly string[]): string[] {
  const rewritten: string[] = [];
  for (let at = 0; at < args.length; at += 1) {
    const word = args[at] ?? '';
    if (word === '--') return [...rewritten, ...args.slice(at)];
    if (operators.has(word)) {
      throw new StoreError('invalid-request', `find: ${word} is not known here.`, {
        hint: 'All tests have to hold; a path of this name goes after --.',
      });
    }
    const name = /^--?([a-z0-9]+)$/.exec(word)?.[1] ?? '';
    const value = args[at + 1];
    if (withValue.includes(name) && value !== undefined) {
      rewritten.push(`--${name}=${value}`);
      at += 1;
    } else rewritten.push(withValue.includes(name) || alone.includes(name) ? `--${name}` : word);
  }
  return rewritten;
}

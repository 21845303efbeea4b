import { StoreError } from '@dfs/shared';

/** A failure as one JSON line, in the shape of the store's own error answers. */
export function failureJson(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof StoreError))
    return JSON.stringify({ error: { code: 'internal', message } });
  const { kind: code, hint } = error;
  return JSON.stringify({ error: { code, message, ...(hint === undefined ? {} : { hint }) } });
}

/** The same for people: what happened and, below it, what to do next. */
export function failureText(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const hint = error instanceof StoreError && error.hint ? `\n     ${error.hint}` : '';
  return `dfs: ${message}${hint}`;
}

/** Standard output that takes no more: a full disk, a broken device. Without a cause, so that nobody tries again. */
export const outputFailure = ({ message }: NodeJS.ErrnoException) =>
  new StoreError('internal', `cannot write to standard output: ${message}`, {
    hint: 'Make room where it goes, or send it elsewhere.',
  });

/** Whether this call asks for JSON; known before its arguments were judged. */
export function asksForJson(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return (end === -1 ? args : args.slice(0, end)).includes('--json');
}

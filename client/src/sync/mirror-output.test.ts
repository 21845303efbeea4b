import { StoreError } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import { type MirrorOutput, printReport } from './mirror-output.ts';
import { MirrorReport } from './mirror-report.ts';

function printed(report: MirrorReport, options: Partial<MirrorOutput> & { isTTY?: boolean } = {}) {
  const { isTTY = false, ...rest } = options;
  const texts = { out: '', error: '' };
  const streamOf = (name: 'out' | 'error') => ({
    isTTY,
    write: (text: string | Uint8Array) => {
      texts[name] += String(text);
      return true;
    },
  });
  const terminal = { out: streamOf('out'), error: streamOf('error') };
  const code = printReport({
    title: 'push of a to /a',
    report,
    isDryRun: false,
    isJson: false,
    target: 'in the store',
    namesPaths: true,
    facts: { path: '/a' },
    environment: {},
    terminal,
    ...rest,
  });
  return { code, ...texts };
}

function reportOf(change: (report: MirrorReport) => void): MirrorReport {
  const report = new MirrorReport();
  change(report);
  return report;
}

const busy = reportOf((report) => {
  report.created.push('b', 'a/', 'a/x');
  report.updated.push('c');
  report.deleted.push('d\u001b[2J');
  report.unchanged = 12;
  report.bytes = 2048;
});

describe('the report of a push', () => {
  it('names what was new, updated and deleted, and counts the rest', () => {
    expect(printed(busy)).toEqual({
      code: 0,
      out: [
        'new:\n  a/\n  a/x\n  b',
        'updated:\n  c',
        'deleted:\n  d\\u001b[2J',
        'push of a to /a: 2 new, 1 updated, 12 unchanged, 1 deleted; 2.0 KiB\n',
      ].join('\n'),
      error: '',
    });
  });

  it('is coloured on a terminal only, and not for who wants no colour', () => {
    const start = '\u001b[';
    expect(printed(busy, { isTTY: true }).out).toContain(`${start}32m  b${start}0m`);
    expect(printed(busy).out).not.toContain(start);
    const withNoColor = (text: string) =>
      printed(busy, { isTTY: true, environment: { NO_COLOR: text } }).out;
    expect(withNoColor('1')).not.toContain(start);
    // An empty one is none (no-color.org).
    expect(withNoColor('')).toContain(`${start}32m  b${start}0m`);
  });

  it('says of a dry run that nothing was done', () => {
    const { out } = printed(busy, { isDryRun: true });
    expect(out).toContain('would be deleted:\n');
    expect(out).toContain('Dry run: push of a');
  });

  it('ends with 5 when something was left alone, and says why and what helps', () => {
    const report = reportOf(({ held }) => held.push({ path: 'a', reason: 'both-changed' }));
    const { code, error } = printed(report);
    expect(code).toBe(5);
    expect(error).toBe(
      'dfs: a: left alone, changed on both sides\n     --force overwrites what is left alone; the other direction takes it over.\n',
    );
  });

  it('ends with 0 when only links were skipped, and with 1 when a file could not be read', () => {
    const link = { path: 'l', reason: 'a symbolic link', isFailure: false };
    const links = reportOf(({ skipped }) => skipped.push(link, { ...link, path: 'm' }));
    expect(printed(links)).toMatchObject({ code: 0, error: 'dfs: skipped 2: a symbolic link\n' });
    const closed = { path: 'c', reason: 'cannot be read (EACCES)', isFailure: true };
    const report = reportOf(({ skipped }) => skipped.push(closed));
    expect(printed(report).code).toBe(1);
    expect(printed(report).error).toContain('dfs: c: skipped, cannot be read (EACCES)\n');
  });

  it('ends with the code of the first failure, names twenty of many and says what stopped it', () => {
    const error = new StoreError('no-room', 'No node has room.', { hint: 'Add a node.' });
    const report = reportOf((made) => {
      for (let n = 0; n < 25; n += 1) made.failed.push({ path: `f${n}`, error });
      made.stopped = error;
    });
    const said = printed(report);
    expect(said.code).toBe(6);
    expect(said.error.match(/No node has room/g)).toHaveLength(21);
    expect(said.error).toContain('… and 5 more');
    expect(said.error).toContain('Add a node. Run the command again to go on.');
  });

  it('is one object of JSON for programs', () => {
    const report = reportOf((made) => {
      made.created.push('a');
      made.held.push({ path: 'b', reason: 'target-changed' });
      made.failed.push({ path: 'c', error: new StoreError('forbidden', 'No.') });
    });
    const { out, error } = printed(report, { isJson: true });
    expect(error).toBe('');
    expect(JSON.parse(out)).toEqual({
      path: '/a',
      dryRun: false,
      new: ['a'],
      updated: [],
      deleted: [],
      unchanged: 0,
      kept: 0,
      bytes: 0,
      conflicts: [{ path: 'b', reason: 'target-changed' }],
      skipped: [],
      failed: [{ path: 'c', code: 'forbidden', message: 'No.' }],
    });
  });
});

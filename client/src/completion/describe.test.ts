import { describe, expect, it } from 'vitest';
import { whole } from '../program/run-command.ts';
import { Session } from '../session.ts';
import { bashScript } from './bash.ts';
import { describeCommand, positionAfter } from './describe.ts';
import { fishScript } from './fish.ts';
import { zshScript } from './zsh.ts';

const program = describeCommand(await whole.create(new Session({})));

describe('the description of a command', () => {
  it.each([
    ['', 'dfs', undefined],
    ['ls', 'ls', 'remote'],
    ['ls a b c', 'ls', 'remote'],
    ['ls -l', 'ls', 'remote'],
    ['cd', 'cd', 'remote-directory'],
    ['cd a', 'cd', undefined],
    ['get', 'get', 'remote'],
    ['get a', 'get', 'local'],
    ['get a b', 'get', undefined],
    ['put', 'put', 'either'],
    ['put a --to', 'put', 'remote'],
    ['put --to=x', 'put', 'either'],
    ['put --on-conflict', 'put', 'words'],
    ['import', 'import', 'local'],
    ['import a', 'import', 'remote'],
    ['export', 'export', 'remote'],
    ['export a', 'export', 'local'],
    ['mv -t', 'mv', 'remote'],
    ['mv -ft', 'mv', 'remote'],
    ['trash', 'trash', undefined],
    ['trash restore', 'restore', 'remote'],
    ['trash restore a', 'restore', undefined],
    ['rm -- -r', 'rm', 'remote'],
    ['up --data', 'up', 'local'],
    ['completion', 'completion', 'words'],
    ['log -n', 'log', 'free'],
    ['drain', 'drain', 'node'],
    ['nodes rm', 'rm', 'node'],
    ['scrub', 'scrub', 'node'],
  ])('knows what may follow "dfs %s"', (line, name, kind) => {
    const { command, value } = positionAfter(program, line.split(' ').filter(Boolean));
    expect([command.name, value?.kind]).toEqual([name, kind]);
  });

  it('offers no options after --, and no hidden commands', () => {
    expect(positionAfter(program, ['rm', '--']).allowsOptions).toBe(false);
    expect(positionAfter(program, ['rm']).allowsOptions).toBe(true);
    expect(program.commands.map(({ name }) => name)).not.toContain('__complete');
  });

  it.each([
    ['bash', bashScript],
    ['zsh', zshScript],
    ['fish', fishScript],
  ])('becomes a script for %s that knows every command and option', (_, script) => {
    const text = script(program);
    for (const command of [program, ...program.commands]) {
      for (const inner of command.commands) expect(text).toContain(inner.name);
      for (const { long } of command.options)
        expect(text).toContain((long ?? '').replace(/^--/, ''));
    }
  });
});

import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { Session } from '../session.ts';
import { createProgram } from './create-program.ts';
import { commandGroups, groupsFor } from './groups.ts';
import { whole } from './run-command.ts';

const namesOf = async (groups: Parameters<typeof createProgram>[0]['groups']) => {
  const program = await createProgram({ session: new Session({}), groups, isJson: false, whole });
  return program.commands.map((command) => command.name());
};

describe('the groups of commands', () => {
  it.each(commandGroups)('name all that they add: $heading', async (group) => {
    expect((await namesOf([group])).toSorted()).toEqual([...group.commands].toSorted());
  });

  it('have no command twice', () => {
    const names = commandGroups.flatMap(({ commands }) => commands);
    expect(new Set(names).size).toBe(names.length);
  });

  it('are loaded alone by a call of one of their commands', () => {
    for (const group of commandGroups) {
      for (const name of group.commands) expect(groupsFor([name, '--help'])).toEqual([group]);
    }
  });

  it.each([[[]], [['--help']], [['--version']], [['help', 'put']], [['putt', 'x']]])(
    'are all loaded where no command of theirs is called: %j',
    (args: string[]) => {
      expect(groupsFor(args)).toEqual(commandGroups);
    },
  );

  it('give every command a description and an example', async () => {
    const program = await createProgram({
      session: new Session({}),
      groups: commandGroups,
      isJson: false,
      whole,
    });
    const all = (command: Command): Command[] => [command, ...command.commands.flatMap(all)];
    for (const command of program.commands.flatMap(all)) {
      let help = '';
      command.configureOutput({
        writeOut: (text) => {
          help += text;
        },
      });
      command.outputHelp();
      expect(command.description(), command.name()).not.toBe('');
      expect(help, command.name()).toMatch(/Examples?:\n {2}\S/);
    }
  });
});

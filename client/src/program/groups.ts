import type { Command } from 'commander';
import type { Session } from '../session.ts';
import type { WholeCommand } from './whole-command.ts';

/** Commands that belong together: one module, loaded when one of them is called. */
export interface CommandGroup {
  readonly heading: string;
  /** All that `load` adds, so that a call loads the group of its own command alone. */
  readonly commands: readonly string[];
  readonly load: () => Promise<(program: Command, session: Session, whole: WholeCommand) => void>;
}

/** In the order of `dfs --help`. */
export const commandGroups: readonly CommandGroup[] = [
  {
    heading: 'Files:',
    commands: ['put', 'get', 'cat'],
    load: async () => (await import('./files.ts')).addFileCommands,
  },
  {
    heading: 'Whole directories:',
    commands: ['import', 'export', 'push', 'pull'],
    load: async () => (await import('./folders.ts')).addFolderCommands,
  },
  {
    heading: 'The tree:',
    commands: [
      'ls',
      'tree',
      'find',
      'du',
      'cd',
      'pwd',
      'mkdir',
      'touch',
      'cp',
      'mv',
      'rm',
      'rmdir',
    ],
    load: async () => (await import('./tree.ts')).addTreeCommands,
  },
  {
    heading: 'Trash and copies:',
    commands: ['trash', 'copies'],
    load: async () => (await import('./keeping.ts')).addKeepingCommands,
  },
  {
    heading: 'Who may:',
    commands: ['chmod', 'share', 'grant', 'grants', 'unshare', 'key'],
    load: async () => (await import('./sharing.ts')).addSharingCommands,
  },
  {
    heading: 'Copies where readers are:',
    commands: ['hot', 'cache'],
    load: async () => (await import('./caching.ts')).addCachingCommands,
  },
  {
    heading: 'Typing commands:',
    commands: ['shell', 'completion', '__complete'],
    load: async () => (await import('./shell.ts')).addShellCommands,
  },
  {
    heading: 'Looking:',
    commands: ['stat', 'replicas', 'log'],
    load: async () => (await import('./look.ts')).addLookCommands,
  },
  {
    heading: 'Looking after it:',
    commands: ['scrub', 'fsck'],
    load: async () => (await import('./care.ts')).addCareCommands,
  },
  {
    heading: 'Keeping the database:',
    commands: ['backup', 'restore'],
    load: async () => (await import('./safekeeping.ts')).addSafekeepingCommands,
  },
  {
    heading: 'The nodes:',
    commands: ['status', 'nodes', 'drain', 'rebalance'],
    load: async () => (await import('./nodes.ts')).addNodeCommands,
  },
  {
    heading: 'Running a store:',
    commands: ['up', 'instance', 'master', 'node', 'replicator'],
    load: async () => (await import('./running.ts')).addRunningCommands,
  },
];

/** The groups that a call needs: its command's own, all of them where it names none that is known. */
export function groupsFor(args: readonly string[]): readonly CommandGroup[] {
  const own = commandGroups.filter(({ commands }) => commands.includes(args[0] ?? ''));
  return own.length === 0 ? commandGroups : own;
}

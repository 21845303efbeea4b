import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { temporaryDirectory } from './harness/guard.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import { dfsCommand, Program } from './harness/program.ts';

let cluster: LocalCluster;
let folder: string;
let environment: Record<string, string | undefined>;
beforeAll(async () => {
  cluster = await startCluster({ nodes: 2, environment: { DFS_TRASH_TTL: '1h' } });
  folder = temporaryDirectory('shell');
  // The command under its name, as the scripts of the shells call it.
  const launcher = join(folder, 'dfs');
  writeFileSync(launcher, `#!/bin/sh\nexec '${process.execPath}' '${dfsCommand}' "$@"\n`);
  chmodSync(launcher, 0o755);
  environment = {
    ...cluster.environment,
    PATH: `${folder}:${process.env['PATH']}`,
    TERM: 'dumb',
    PS1: '% ',
  };
  const names = [
    'one.txt',
    'two.txt',
    'my dir/in.txt',
    "it's (1).txt",
    'line\nbreak',
    'x:y=z',
    '😀',
  ];
  await Promise.all(names.map((name) => cluster.store(`/data/${name}`, name)));
});
afterAll(() => cluster?.dispose());

const isHere = (command: string) =>
  spawnSync('sh', ['-c', `command -v ${command}`], { stdio: 'ignore' }).status === 0;

describe('dfs shell with a script', () => {
  const shell = async (stdin: string, args: readonly string[] = []) => {
    const { code, stdout, stderr } = await cluster.dfs(['shell', ...args], { stdin, cwd: folder });
    return [code, stdout, stderr];
  };

  it('runs line after line, keeps its directory, and ends as its last command did', async () => {
    const script = [
      'cd /data # a remark',
      'pwd; ls "my dir"',
      "cat 'it'\"'\"'s (1).txt' one.txt",
      'mkdir "new dir"',
      'mv two.txt new\\ dir/',
      'find "new dir" -type f',
      'nonsense',
      'cat nope',
    ];
    const [code, stdout, stderr] = await shell(script.join('\n'));
    expect(stdout).toBe("/data\nin.txt\nit's (1).txtone.txtnew dir/two.txt\n");
    expect(stderr).toBe(
      "error: unknown command 'nonsense'\ndfs cat: 'nope': No such file or directory\n",
    );
    expect(code).toBe(3);
    expect((await cluster.dfs(['pwd'])).stdout).toBe('/data\n');
    expect((await shell('mv "new dir/two.txt" .\nrmdir "new dir"'))[0]).toBe(0);
    await cluster.dfs(['cd']);
  });

  it('tells patterns from what was quoted', async () => {
    await cluster.store('/quote/a*', 'star');
    await cluster.store('/quote/ab', 'letter');
    expect(await shell("cd /quote\nls *\nls 'a*'\nls \"a\"*\nls -d [a]*\nls '[a]'*\ncd")).toEqual([
      0,
      'a*\nab\na*\na*\na*\nab\n',
      "dfs ls: cannot access '\\[a\\]*': No such file or directory\n",
    ]);
  });

  it('takes the answers to questions from the script', async () => {
    await cluster.store('/ask/a', '');
    await cluster.store('/ask/b', '');
    const [code] = await shell('rm -i /ask/a /ask/b\nn\ny\nls /ask');
    expect(code).toBe(0);
    expect(await cluster.names('/ask')).toEqual(['a']);
  });

  it('ends at a failure when asked to, and says so', async () => {
    expect((await shell('cat /nope\ntouch /never', ['-e']))[0]).toBe(3);
    expect((await shell('', ['-c', 'touch /early; exit 7; touch /never']))[0]).toBe(7);
    expect(await cluster.names()).not.toContain('never');
    expect((await shell('status --json'))[0]).toBe(0);
    expect((await shell("rm 'never closed"))[0]).toBe(2);
    expect((await shell('ls | head'))[0]).toBe(2);
    for (const outside of ['up', 'shell', 'master', 'put - x']) {
      expect([outside, (await shell(outside))[0]]).toEqual([outside, 2]);
    }
  });

  it('puts and gets, where lcd leads', async () => {
    writeFileSync(join(folder, 'local.txt'), 'local');
    const script = [
      `lcd ${folder}`,
      'put loc*.txt /from/',
      'get /from/local.txt back.txt',
      'cd /data',
      'get *.txt .',
      'get *.txt nowhere',
      'cd',
    ];
    const [code, , stderr] = await shell(script.join('\n'));
    expect([code, stderr]).toEqual([0, expect.stringMatching(/^dfs: nowhere is no directory/)]);
    for (const name of ['one.txt', 'two.txt', "it's (1).txt"]) {
      expect(readFileSync(join(folder, name), 'utf8')).toBe(name);
    }
    expect(readFileSync(join(folder, 'back.txt'), 'utf8')).toBe('local');
  });
});

describe.skipIf(!isHere('script'))('dfs shell at a terminal', () => {
  /** Types into a terminal, each text once what came before it was answered. */
  async function type(
    steps: readonly (readonly [text: string, answer: RegExp])[],
  ): Promise<string> {
    const keyboard = new PassThrough();
    const program = new Program(['script', '-qfec', 'dfs shell', '/dev/null'], {
      environment: { ...environment, TERM: 'xterm', COLUMNS: '200' },
      stdin: keyboard,
    });
    await program.printed(/dfs \S*> /);
    for (const [text, answer] of steps) {
      const before = program.output.length;
      keyboard.write(text);
      // Only what came since.
      const since = new RegExp(`^.{${before}}.*?(?:${answer.source})`, 's');
      await program.printed(since);
    }
    keyboard.end();
    return (await program.finished).stdout;
  }

  it('completes names, keeps a history, cancels with Ctrl-C and leaves with Ctrl-D', async () => {
    const output = await type([
      ['cd /da\t', /cd \/data\//],
      ['\n', /dfs \/data> /],
      ['cat on\t', /cat one\.txt /],
      ['\n', /one\.txt\r\n.*dfs \/data> /],
      ['ls my\t', /ls my\\ dir\//],
      ['\n', /in\.txt\r\n.*dfs \/data> /],
      ['cat "it\t', /"it's \(1\)\.txt" /],
      ['\n', /it's \(1\)\.txt.*dfs \/data> /],
      ['rm -r one.txt\u0003', /\^C.*dfs \/data> /],
      // The log goes on for ever; Ctrl-C ends it and not the shell.
      ['log -f\n', /stored/],
      ['\u0003', /interrupted.*dfs \/data> /],
      ['pwd\n', /\/data\r\n.*dfs \/data> /],
      ['cd\n', /dfs \/> /],
      ['\u0004', /\n/],
    ]);
    expect(output).toContain('Tab completes');
    expect(await cluster.names('/data')).toContain('one.txt');
    const file = join(cluster.environment['HOME'] ?? '', '.local/state/dfs/shell-history');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const history = readFileSync(file, 'utf8').split('\n');
    expect(history.slice(0, 2)).toEqual(['cd /data/', 'cat one.txt ']);
    // The next one has it.
    expect(
      await type([
        ['\u001b[A', /cd/],
        ['\u001b[A\n', /\/\r\n/],
        ['exit\n', /\n/],
      ]),
    ).toContain('pwd');
  });
});

describe('completion', () => {
  const scriptOf = async (shell: string) => {
    const { code, stdout } = await cluster.dfs(['completion', shell]);
    expect(code).toBe(0);
    const path = join(folder, `completion.${shell}`);
    writeFileSync(path, stdout);
    return path;
  };
  const run = (command: string, args: readonly string[]) =>
    execFileSync(command, args, { env: environment as NodeJS.ProcessEnv, cwd: folder }).toString();

  it('is silent and successful when the store is away or the key is wrong', async () => {
    for (const wrong of [{ DFS_URL: 'http://127.0.0.1:1' }, { DFS_KEY: 'a wrong key' }]) {
      const { code, stdout, stderr } = await cluster.dfs(['__complete', '--line', 'dfs ls /'], {
        environment: wrong,
      });
      expect([code, stdout, stderr]).toEqual([0, '', '']);
    }
    expect((await cluster.dfs(['--help'])).stdout).not.toContain('__complete');
  });

  it.skipIf(!isHere('bash'))('works in bash', async () => {
    const path = await scriptOf('bash');
    // Words as bash splits them: at blanks, colons and equals signs.
    const offered = (line: string, ...words: string[]) =>
      run('bash', [
        '--norc',
        '-c',
        `source "$0"; COMP_LINE=$1 COMP_POINT=\${#1}; shift; COMP_WORDS=("$@") COMP_CWORD=$(($#-1)); _dfs; printf "%s\\0" "\${COMPREPLY[@]}"`,
        path,
        line,
        ...words,
      ])
        .split('\0')
        .filter(Boolean);
    expect(offered('dfs tr', 'dfs', 'tr')).toEqual(['tree', 'trash']);
    expect(offered('dfs trash ', 'dfs', 'trash', '')).toEqual(['ls', 'restore', 'empty']);
    expect(offered('dfs ls --re', 'dfs', 'ls', '--re')).toEqual(['--recursive', '--reverse']);
    expect(offered('dfs put --on-conflict re', 'dfs', 'put', '--on-conflict', 're')).toEqual([
      'rename',
      'replace',
    ]);
    expect(offered('dfs ls /data/', 'dfs', 'ls', '/data/')).toEqual([
      "/data/it's (1).txt",
      '/data/line\nbreak',
      '/data/my dir/',
      '/data/one.txt',
      '/data/two.txt',
      '/data/x:y=z',
      '/data/😀',
    ]);
    expect(offered('dfs drain n', 'dfs', 'drain', 'n')).toEqual(['node-1', 'node-2']);
    expect(offered('dfs rm /data/o', 'dfs', 'rm', '/data/o')).toEqual(['/data/one.txt']);
    expect(offered('dfs cd /data/', 'dfs', 'cd', '/data/')).toEqual(['/data/my dir/']);
    expect(offered('dfs ls /data/my\\ d', 'dfs', 'ls', '/data/my\\ d')).toEqual(['/data/my dir/']);
    expect(offered('dfs ls "/data/my d', 'dfs', 'ls', '"/data/my d')).toEqual(['/data/my dir/']);
    expect(offered('dfs cat /data/x:y', 'dfs', 'cat', '/data/x', ':', 'y')).toEqual(['y=z']);
    expect(offered('dfs cat /data/x:', 'dfs', 'cat', '/data/x', ':')).toEqual(['y=z']);
    expect(offered('dfs get x --json /', 'dfs', 'get', 'x', '--json', '/')).toEqual([]);
    expect(offered('dfs put x --to /data/t', 'dfs', 'put', 'x', '--to', '/data/t')).toEqual([
      '/data/two.txt',
    ]);
  });

  it.skipIf(!isHere('fish'))('works in fish', async () => {
    const path = await scriptOf('fish');
    const offered = (line: string) =>
      run('fish', ['--no-config', '-c', 'source $argv[1]; complete -C $argv[2]', '--', path, line])
        .split('\n')
        .slice(0, -1)
        .map((word) => word.replace(/\t.*/, ''));
    expect(offered('dfs tr')).toEqual(['trash', 'tree']);
    expect(offered('dfs trash ')).toEqual(['empty', 'ls', 'restore']);
    expect(offered('dfs ls --re')).toEqual(['--recursive', '--reverse']);
    expect(offered('dfs ls /data/o')).toEqual(['/data/one.txt']);
    expect(offered('dfs ls /data/my\\ d')).toEqual(['/data/my dir/']);
    expect(offered('dfs cd /data/')).toEqual(['/data/my dir/']);
    expect(offered('dfs drain n')).toEqual(['node-1', 'node-2']);
    expect(offered('dfs completion ')).toEqual(['bash', 'fish', 'zsh']);
  });

  it.skipIf(!isHere('zsh') || !isHere('script'))('works in zsh', async () => {
    const path = await scriptOf('zsh');
    const keyboard = new PassThrough();
    const program = new Program(['script', '-qfec', 'zsh -f -i', '/dev/null'], {
      environment: { ...environment, COLUMNS: '200' },
      stdin: keyboard,
    });
    const type = async (text: string, answer: RegExp) => {
      const before = program.output.length;
      keyboard.write(text);
      await program.printed(new RegExp(`^.{${before}}.*?(?:${answer.source})`, 's'));
    };
    await type(
      `autoload -U compinit; compinit -u -D; source '${path}'; print re''ady\n`,
      /ready\r?\n/,
    );
    // Ctrl-U empties the line again.
    await type('dfs tre\t', /dfs tree /);
    await type('\u0015dfs ls /data/o\t', /\/data\/one\.txt /);
    await type('\u0015dfs ls /data/my\t', /\/data\/my\\ dir\//);
    await type('\u0015dfs cat /data/it\t', /it\\'s\\ \\\(1\\\)\.txt /);
    await type('\u0015dfs drain n\t', /drain node-/);
    await type('\u0015dfs trash re\t', /dfs trash restore /);
    await type('\u0015dfs ls --recu\t', /--recursive /);
    await type('\u0015exit\n', /exit/);
    keyboard.end();
    await program.finished;
  });
});

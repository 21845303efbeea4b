import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';

const moduleOf = (name: string) =>
  JSON.stringify(fileURLToPath(new URL(`./${name}.ts`, import.meta.url)));

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

/** Starts a program whose `start` has this body; `say` tells the test something, in order. */
function startProgram(bodyOfStart: string) {
  const script = `
    import { ConfigurationError } from ${moduleOf('environment')};
    import { StoreError } from ${moduleOf('errors')};
    import { createLogger } from ${moduleOf('logger')};
    import { runProgram } from ${moduleOf('run-program')};
    const say = (word) => new Promise((resolve) => process.send({ word }, resolve));
    const alive = setInterval(() => undefined, 1_000);
    await runProgram({ name: 'trial', start: async ({ ready, stopping }) => { ${bodyOfStart} } });
  `;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...process.env, DFS_LOG_FORMAT: 'json' },
  });
  children.push(child);
  const said: unknown[] = [];
  child.on('message', (message) => said.push(message));
  const readAll = (stream: NodeJS.ReadableStream | null) =>
    stream ? text(stream).catch(() => 'closed') : '';
  const output = readAll(child.stdout);
  const errors = readAll(child.stderr);
  const end = async () => {
    // The last messages may arrive after the news of the exit.
    const [[code, signal]] = await Promise.all([once(child, 'exit'), once(child, 'disconnect')]);
    return { code: code ?? signal, said, output: await output, errors: await errors };
  };
  return { child, firstWord: once(child, 'message'), end: end() };
}

const stops = `return { stop: async () => { await say('stopping'); await say('stopped'); } };`;

describe('a program', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)(
    'stops in order on %s, with exit code 0',
    async (signal) => {
      const { child, firstWord, end } = startProgram(`ready({ port: 7 }); ${stops}`);
      expect((await firstWord)[0]).toEqual({ ready: true, port: 7 });
      child.kill(signal);
      const { code, said } = await end;
      expect(code).toBe(0);
      expect(said.slice(1)).toEqual([{ word: 'stopping' }, { word: 'stopped' }]);
    },
  );

  it('stops in order when its parent goes away', async () => {
    const { child, firstWord, end } = startProgram(
      `ready(); return { stop: async () => { process.stdout.write('stopped'); } };`,
    );
    await firstWord;
    child.disconnect();
    expect(await end).toMatchObject({ code: 0, output: 'stopped' });
  });

  it('stops in order though nobody reads its output any more', async () => {
    const { child, firstWord, end } = startProgram(`
      ready();
      const logger = createLogger({ program: 'trial', format: 'text' });
      return { stop: async () => {
        for (let i = 0; i < 3; i += 1) { logger.info('a last line'); process.stderr.write('another'); await say('wrote'); }
      } };`);
    await firstWord;
    child.stdout?.destroy();
    child.stderr?.destroy();
    child.kill('SIGTERM');
    const { code, said } = await end;
    expect(code).toBe(0);
    expect(said.slice(1)).toEqual([{ word: 'wrote' }, { word: 'wrote' }, { word: 'wrote' }]);
  });

  it('ends at once on a second signal, though it does not stop', async () => {
    const { child, firstWord, end } = startProgram(
      `ready(); return { stop: async () => { await say('stopping'); await new Promise(() => undefined); } };`,
    );
    await firstWord;
    const stopping = once(child, 'message');
    child.kill('SIGTERM');
    await stopping;
    child.kill('SIGTERM');
    expect((await end).code).toBe(143);
  });

  it('learns of a signal while it still starts, and is stopped after it', async () => {
    const { child, firstWord, end } = startProgram(`
      await say('starting');
      await new Promise((resolve) => stopping.addEventListener('abort', resolve));
      await say('gave up');
      ${stops}`);
    await firstWord;
    child.kill('SIGTERM');
    const { code, said } = await end;
    expect(code).toBe(0);
    expect(said.map((message) => (message as { word: string }).word)).toEqual([
      'starting',
      'gave up',
      'stopping',
      'stopped',
    ]);
  });

  it('tells every fault of its configuration in a line of its own, with exit code 2', async () => {
    const { end } = startProgram(`throw new ConfigurationError('A is wrong.\\nB is missing.');`);
    expect(await end).toMatchObject({
      code: 2,
      errors: 'trial: A is wrong.\ntrial: B is missing.\n',
      output: '',
    });
  });

  it('tells a refusal in one line with the hint, without a stack, with exit code 1', async () => {
    const { end } = startProgram(
      `throw new StoreError('conflict', 'In use.', { hint: 'Stop it.' });`,
    );
    expect(await end).toMatchObject({ code: 1, errors: 'trial: In use. Stop it.\n', output: '' });
  });

  it.each([
    ['a start that fails', `throw new Error('boom');`, 'could not start'],
    [
      'a rejection that nobody handles',
      `void Promise.reject(new Error('boom')); ${stops}`,
      'a failure that nobody handled',
    ],
    [
      'an exception that nobody catches',
      `setImmediate(() => { throw new Error('boom'); }); ${stops}`,
      'a failure that nobody handled',
    ],
    [
      'a stop that fails',
      `setImmediate(() => process.kill(process.pid, 'SIGTERM')); return { stop: async () => { throw new Error('boom'); } };`,
      'could not stop in order',
    ],
  ])('logs %s with its stack, with exit code 1', async (_, body, message) => {
    const { code, output } = await startProgram(body).end;
    expect(code).toBe(1);
    const line = JSON.parse(output) as { error: { message: string; stack: string } };
    expect(line).toMatchObject({
      level: 'error',
      program: 'trial',
      message,
      error: { message: 'boom' },
    });
    expect(line.error.stack).toContain('at ');
  });
});

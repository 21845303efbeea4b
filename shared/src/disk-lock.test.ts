import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { acquireDiskLock } from './disk-lock.ts';
import { ConfigurationError } from './environment.ts';
import { StoreError } from './errors.ts';
import { temporaryDirectory } from './testing/temporary-directory.ts';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeEach(async () => {
  directory = await temporaryDirectory();
});
afterEach(() => directory.remove());

const lockModule = JSON.stringify(fileURLToPath(new URL('./disk-lock.ts', import.meta.url)));

/** Another process that takes the lock and tells how that went; where this one is root, as `user`, whom modes of files concern. */
async function otherProcess(path: string, user?: string) {
  const script = `
    import { acquireDiskLock } from ${lockModule};
    const user = ${JSON.stringify(user)};
    if (user !== undefined && process.getuid() === 0) process.setuid(user);
    const outcome = await acquireDiskLock(${JSON.stringify(path)}, { what: 'storage node' }).then(() => 'held', (error) => error.message);
    process.stdout.write(outcome);
    setInterval(() => undefined, 1_000);
  `;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [outcome] = (await once(child.stdout, 'data')) as [Buffer];
  const kill = async () => {
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  return { outcome: outcome.toString(), kill };
}

const take = () => acquireDiskLock(directory.path, { what: 'storage node' });

describe('the lock of a directory', () => {
  it('is refused to a second holder in the same process, in one line that names the directory', async () => {
    const lock = await take();
    const second = take();
    await expect(second).rejects.toThrow(StoreError);
    await expect(second).rejects.toMatchObject({
      kind: 'conflict',
      message: `The directory ${directory.path} is in use by another storage node.`,
    });
    await lock.release();
  });

  it('still holds after a second holder was refused', async () => {
    const lock = await take();
    await expect(take()).rejects.toThrow(StoreError);
    await expect(take()).rejects.toThrow(StoreError);
    const other = await otherProcess(directory.path);
    expect(other.outcome).toContain('is in use');
    await other.kill();
    await lock.release();
  });

  it('can be taken again after its release, and released twice', async () => {
    const lock = await take();
    await lock.release();
    await lock.release();
    await (await take()).release();
  });

  it('is freed when its holder is killed', async () => {
    const other = await otherProcess(directory.path);
    expect(other.outcome).toBe('held');
    await expect(take()).rejects.toThrow('is in use');
    await other.kill();
    await (await take()).release();
  });

  it('is the same by another path to the directory', async () => {
    const lock = await take();
    const alias = `${directory.path}-alias`;
    await symlink(directory.path, alias);
    const other = await otherProcess(alias);
    expect(other.outcome).toContain('is in use');
    await other.kill();
    await lock.release();
    await rm(alias);
  });

  it('leaves one small file behind', async () => {
    await (await take()).release();
    expect(await readdir(directory.path)).toEqual(['.lock']);
  });

  it.each(['absent', 'file'])(
    'is a fault of the configuration where the directory is %s',
    async (name) => {
      await writeFile(join(directory.path, 'file'), '');
      const path = join(directory.path, name);
      const refused = acquireDiskLock(path, { what: 'storage node' });
      await expect(refused).rejects.toThrow(ConfigurationError);
      await expect(refused).rejects.toThrow(/^The directory [^\n]* cannot be written: [^\n]*\.$/);
    },
  );

  it('is a fault of the configuration where the lock file is no database', async () => {
    await writeFile(
      join(directory.path, '.lock'),
      'something else that is longer than a header'.repeat(100),
    );
    await expect(take()).rejects.toThrow(ConfigurationError);
  });

  it('is a fault of the configuration where the directory may not be written', async () => {
    await chmod(directory.path, 0o555);
    const other = await otherProcess(directory.path, 'nobody');
    expect(other.outcome).toContain(
      `The directory ${directory.path} cannot be written: permission denied (EACCES).`,
    );
    await other.kill();
  });

  it('is a fault of the configuration where the lock file may not be written', async () => {
    await (await take()).release();
    await chmod(directory.path, 0o777);
    await chmod(join(directory.path, '.lock'), 0o444);
    const other = await otherProcess(directory.path, 'nobody');
    expect(other.outcome).toContain(
      `The directory ${directory.path} cannot be written: permission denied (EACCES).`,
    );
    await other.kill();
  });
});

import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';

export interface StateLock {
  release(): void;
}

/**
 * Takes a file as a sign that this process works with what lies beside it. Undefined while another process that lives holds it; the sign of one that died counts for nothing.
 */
export async function takeLock(file: string): Promise<StateLock | undefined> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const own = `${file}.${process.pid}`;
  const sign = `${process.pid} ${startOf(process.pid) ?? ''}`;
  writeFileSync(own, sign);
  try {
    // A link is made by one of several processes only.
    for (let attempt = 0; attempt < 3; attempt += 1) {
      if (isLinked(own, file)) return { release: () => rmSync(file, { force: true }) };
      if (isHeld(file)) return undefined;
      rmSync(file, { force: true });
    }
    return undefined;
  } finally {
    rmSync(own, { force: true });
  }
}

function isLinked(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Whether the process that left the sign still runs. A number alone does not tell: another process may have it by now, in a container the very next one. */
function isHeld(file: string): boolean {
  const [pidText = '', start = ''] = readSign(file).split(' ');
  const pid = Number(pidText);
  if (!Number.isSafeInteger(pid) || pid <= 0 || !isRunning(pid)) return false;
  const startNow = startOf(pid);
  return start === '' || startNow === undefined || start === startNow;
}

function readSign(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // Released in between.
    return '';
  }
}

/** When a process started, in the words of the kernel and together with the boot; undefined where the system does not tell. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name before may hold blanks and brackets.
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return `${ticks}@${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}`;
  } catch {
    return undefined;
  }
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Somebody else's process runs as well.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

import { readFile } from 'node:fs/promises';

const sampleIntervalMs = 250;

export interface ProcessName {
  name: string;
  pid: number;
}

export interface ProcessMemory {
  /** Largest resident size that was seen while sampling. */
  sampledPeakBytes: number;
  /** The kernel's own high-water mark since the process began. */
  peakBytes: number;
}

/**
 * Samples the resident memory of processes from `/proc`; knows nothing where there is no `/proc`.
 * A process that ended keeps the figures it had.
 */
export class MemorySampler {
  private readonly processes: ProcessName[];
  private readonly figures = new Map<string, ProcessMemory>();
  private readonly timer: NodeJS.Timeout;

  constructor(processes: ProcessName[]) {
    this.processes = processes;
    this.timer = setInterval(() => void this.sample(), sampleIntervalMs);
    this.timer.unref();
  }

  /** A last look, and the figures of every process by its name. */
  async stop(): Promise<Record<string, ProcessMemory>> {
    clearInterval(this.timer);
    await this.sample();
    return Object.fromEntries(this.figures);
  }

  private async sample(): Promise<void> {
    await Promise.all(this.processes.map((each) => this.sampleOne(each)));
  }

  private async sampleOne({ name, pid }: ProcessName): Promise<void> {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    const residentBytes = kibibytes(status, 'VmRSS');
    const peakBytes = kibibytes(status, 'VmHWM');
    if (residentBytes === undefined || peakBytes === undefined) return;
    const before = this.figures.get(name);
    this.figures.set(name, {
      sampledPeakBytes: Math.max(residentBytes, before?.sampledPeakBytes ?? 0),
      peakBytes: Math.max(peakBytes, before?.peakBytes ?? 0),
    });
  }
}

function kibibytes(status: string, field: string): number | undefined {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status);
  return match ? Number(match[1]) * 1024 : undefined;
}

/** A variable of another process's environment at its start; undefined when it cannot be seen. */
export async function environmentOf(pid: number, variable: string): Promise<string | undefined> {
  const all = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
  const assignment = all.split('\0').find((line) => line.startsWith(`${variable}=`));
  return assignment?.slice(variable.length + 1);
}

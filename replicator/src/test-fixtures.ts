import { newBlobId, newNodeId, type ReplicationJob } from '@dfs/shared';
import type { LogFields, Logger } from '@dfs/shared/cluster';
import { expect } from 'vitest';

export const makeJob = (overrides: Partial<ReplicationJob> = {}): ReplicationJob => ({
  blobId: newBlobId(),
  target: newNodeId(),
  sizeBytes: 4_096,
  md5: 'd41d8cd98f00b204e9800998ecf8427e',
  path: '/ordner/größe ✓.txt',
  sources: [newNodeId(), newNodeId()],
  ...overrides,
});

export interface RecordedLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: LogFields;
}

/** A logger that keeps its lines. */
export function recordingLogger(): { readonly logger: Logger; readonly lines: RecordedLine[] } {
  const lines: RecordedLine[] = [];
  const write =
    (level: RecordedLine['level']) =>
    (message: string, fields: LogFields = {}) => {
      lines.push({ level, message, fields });
    };
  const logger: Logger = {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: () => logger,
  };
  return { logger, lines };
}

/** A promise to be settled from outside. */
export function makeGate(): { readonly opened: Promise<void>; open(): void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

/** An expectation on something that comes about by itself: asked again until it holds, or for so long that only a fault can be the reason. */
export const eventually = <T>(read: () => T | Promise<T>): ReturnType<typeof expect.poll<T>> =>
  expect.poll(read, { timeout: 20_000, interval: 20 });

import { expect } from 'vitest';
import type { LocalCluster } from './local-cluster.ts';
import { peakMemoryBytes } from './program.ts';

export const modestMemoryBytes = 250e6;

/** Expects that no program of the cluster ever had more resident; prints what each had. */
export function expectModestMemory(cluster: LocalCluster): void {
  const members = ['master', 'replicator', ...cluster.file().nodes.map(({ name }) => name)];
  const peaks = members.map((member) => ({
    member,
    bytes: peakMemoryBytes(cluster.pidOf(member)) ?? 0,
  }));
  const texts = peaks.map(({ member, bytes }) => `${member} ${Math.round(bytes / 1e6)} MB`);
  process.stdout.write(`Peak memory: ${texts.join(', ')}\n`);
  const immodest = peaks.filter(({ bytes }) => bytes >= modestMemoryBytes);
  expect(immodest).toEqual([]);
}

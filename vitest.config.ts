import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// libuv reads this when a process starts; workers inherit it. Its four threads are shared by the file system,
// the database driver and DNS, and would queue behind each other.
process.env['UV_THREADPOOL_SIZE'] ??= '16';

// Tests see the sources of the other workspaces, so that no build stands between a change and its test. What runs
// as a program of its own is started from the build.
const conditions = ['development', 'module', 'node'];
const sources = {
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
};
const common = { environment: 'node', pool: 'forks' } as const;
// One core waits for the disk, a server or a timer often enough for the other file.
const twoFilesAtATime = { maxWorkers: Math.max(2, availableParallelism() - 1) };
// Each of these files starts clusters of its own: two at a time would measure each other.
const oneFileAtATime = { fileParallelism: false } as const;

const longestFile = /\/postgres-metadata-repository\.test\.ts$/;

/** The longest file first, so that the others run beside it and nobody waits for it in the end. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLongest = ({ moduleId }: TestSpecification) => longestFile.test(moduleId);
    return [...sorted.filter(isLongest), ...sorted.filter((file) => !isLongest(file))];
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        ...sources,
        test: {
          ...common,
          ...twoFilesAtATime,
          name: 'unit',
          include: ['*/src/**/*.test.ts'],
          sequence: { groupOrder: 0 },
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        ...sources,
        test: {
          ...common,
          ...oneFileAtATime,
          name: 'e2e',
          include: ['client/src/e2e/**/*.e2e.ts'],
          sequence: { groupOrder: 1 },
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
      {
        ...sources,
        test: {
          ...common,
          ...oneFileAtATime,
          name: 'long',
          include: ['*/src/**/*.long.ts'],
          sequence: { groupOrder: 2 },
          testTimeout: 3_600_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
});

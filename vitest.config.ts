import { defaultServerConditions } from 'vite';
import { defineConfig } from 'vitest/config';

// Tests of a workspace see the sources of the others, so that nothing needs a build first. What runs as
// a program of its own (everything in `e2e` and `long`) is started from the build instead.
const conditions = ['development', ...defaultServerConditions];
const resolve = { conditions };
const ssr = { resolve: { conditions, externalConditions: conditions } };

// Workers share libuv's thread pool among file system, database and DNS: four threads starve each other.
const env = { UV_THREADPOOL_SIZE: '16' };

export default defineConfig({
  test: {
    projects: [
      {
        resolve,
        ssr,
        test: {
          name: 'unit',
          include: ['*/src/**/*.test.ts'],
          environment: 'node',
          pool: 'forks',
          env,
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        resolve,
        ssr,
        test: {
          name: 'e2e',
          include: ['client/src/e2e/**/*.e2e.ts'],
          environment: 'node',
          pool: 'forks',
          env,
          // Each file starts clusters of its own: two at a time would measure each other.
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
      {
        resolve,
        ssr,
        test: {
          name: 'long',
          include: ['*/src/**/*.long.ts'],
          environment: 'node',
          pool: 'forks',
          env,
          fileParallelism: false,
          testTimeout: 3_600_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
});

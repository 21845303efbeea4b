import { describe, expect, it } from 'vitest';
import { readConfig } from './config.ts';

describe('readConfig', () => {
  it('works without any setting', () => {
    expect(readConfig({})).toEqual({
      masterUrl: 'http://127.0.0.1:7041',
      redisUrl: undefined,
      statusPort: undefined,
      statusHost: undefined,
      copyConcurrency: 16,
      copyConcurrencyPerNode: 8,
      logLevel: 'info',
    });
  });

  it('tells all faults at once', () => {
    const read = () =>
      readConfig({
        DFS_MASTER_URL: 'master:7041',
        DFS_REDIS_URL: 'http://redis',
        DFS_COPY_CONCURRENCY: '0',
        DFS_LOG_LEVEL: 'loud',
        DFS_PORT: 'http',
      });
    const names = [
      'DFS_MASTER_URL',
      'DFS_REDIS_URL',
      'DFS_COPY_CONCURRENCY',
      'DFS_LOG_LEVEL',
      'DFS_PORT',
    ];
    for (const name of names) expect(read).toThrow(name);
  });

  it('lets one node take part in half of the copies', () => {
    expect(readConfig({ DFS_COPY_CONCURRENCY: '5' }).copyConcurrencyPerNode).toBe(3);
  });
});

export * from './blobs.ts';
export * from './describe-blob-store.ts';
export * from './fake-clock.ts';
export * from './memory-blob-store.ts';
export * from './memory-node.ts';
export * from './servers.ts';
export * from './temporary-directory.ts';

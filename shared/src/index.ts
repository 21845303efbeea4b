// What is only types is exported as such: a module without code would still be loaded at each start of the command.
export type * from './blob-store.ts';
export * from './byte-range.ts';
export type * from './care-messages.ts';
export * from './clock.ts';
export type * from './cluster-messages.ts';
export * from './environment.ts';
export * from './errors.ts';
export * from './file-path.ts';
export * from './ids.ts';
export type * from './journal-format.ts';
export * from './key-file.ts';
export * from './make-directories.ts';
export * from './node-protocol.ts';
export type * from './public-messages.ts';
export * from './replication-job.ts';
export * from './retry-policy.ts';
export type * from './scrub-messages.ts';
export type * from './tree-messages.ts';

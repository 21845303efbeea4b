export * from './cluster-keyring.ts';
export * from './digest.ts';
export * from './http-blob-store.ts';
export * from './journal-keeper.ts';
export * from './listen.ts';
export * from './logger.ts';
export * from './run-program.ts';
export * from './server-tls.ts';

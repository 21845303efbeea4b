export * from './serving/attributes.ts';
export * from './serving/conditions.ts';
export * from './serving/etag.ts';
export * from './serving/serve-file.ts';
export type * from './serving/served-file.ts';

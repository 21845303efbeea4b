/** What programs may use: the store's tree as a class, and where a user's store is. */
export {
  type AccessKeyAnswer,
  type AccessRole,
  type CacheOrder,
  type CacheOutcome,
  type EntryId,
  type FilePath,
  type FoundEntry,
  type HotAnswer,
  type ListAnswerEntry,
  type NewAccessKeyAnswer,
  type NewAccessKeyRequest,
  type NodeAnswer,
  type NodeName,
  type PutAnswer,
  type RebalanceAnswer,
  type StatAnswer,
  type StatusAnswer,
  StoreError,
  type StoreErrorKind,
  type TrashEmptyRequest,
  type TrashItem,
  type TrashRestoreRequest,
  type UsageAnswer,
} from '@dfs/shared';
export { StoreApi, type StreamedAnswer } from './api.ts';
export { type ClientConfig, readClientConfig } from './client-config.ts';
export type { AccessKeys } from './sdk/access-keys.ts';
export {
  type Caches,
  type CopyResult,
  DfsClient,
  type Nodes,
  type PutOptions,
  type Trash,
} from './sdk/dfs-client.ts';
export type { CopyFailure } from './sdk/multistatus.ts';
export type { Sharing } from './sdk/sharing.ts';

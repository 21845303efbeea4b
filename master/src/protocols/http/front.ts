import { type Clock, type JournalAnswer, parseUrlPath, StoreError } from '@dfs/shared';
import type { LogRing } from '@dfs/shared/cluster';
import type { AccessControl } from '../../access/access-control.ts';
import type { AccessKeys } from '../../access/access-keys.ts';
import type { LinkKeys } from '../../access/links.ts';
import type { Openings } from '../../access/openings.ts';
import type { CacheControl } from '../../caching/cache-control.ts';
import type { CacheDirectory } from '../../caching/cache-directory.ts';
import type { HotFiles } from '../../caching/hot-files.ts';
import type { NodeAdmin } from '../../cluster/node-admin.ts';
import type { NodeDirectory } from '../../cluster/node-directory.ts';
import { restoreHint } from '../../cluster/recovery.ts';
import type { FileService } from '../../files/file-types.ts';
import type { MetadataRepository } from '../../metadata/metadata-repository.ts';
import type { GracePeriod } from '../../replication/grace-period.ts';
import type { RepairLoop } from '../../replication/repair-loop.ts';
import type { Restorer } from '../../restore/restorer.ts';
import type { Exchange } from './exchange.ts';

/** What of the metadata the front asks directly, because no file is in question. */
export type FrontMetadata = Pick<
  MetadataRepository,
  | 'findEntry'
  | 'findNamed'
  | 'findFile'
  | 'findFileById'
  | 'addGrant'
  | 'removeGrants'
  | 'grantsOf'
  | 'listGrants'
  | 'addRevocation'
  | 'revocationsOf'
  | 'listLog'
  | 'counts'
  | 'identity'
  | 'isEmpty'
  | 'copiesOn'
  | 'lastCopiesOn'
  | 'copiesToMove'
>;

/** What of the repair the front tells, and asks for. */
export interface FrontRepair extends Pick<RepairLoop, 'awaited' | 'wake'> {
  readonly rate: Pick<RepairLoop['rate'], 'perSecond'>;
  readonly rebalance: Pick<RepairLoop['rebalance'], 'start' | 'stop' | 'progress'>;
}

/** What nodes cache, and which files are read often. */
export interface FrontCaching {
  readonly control: CacheControl;
  readonly hot: Pick<HotFiles, 'list' | 'limitPerMinute'>;
  readonly directory: Pick<CacheDirectory, 'blobsOf'>;
}

export interface FrontConfig {
  /** The name of this master among others. */
  readonly instanceName: string;
  /** Copies of a file where nothing else is said. */
  readonly copies: number;
  /** How long to wait for the next bytes of an upload, and for a reader to take the next ones of a download. */
  readonly uploadIdleMs: number;
  readonly downloadIdleMs: number;
  /** Where users reach this server: the base of the links that it makes, without a slash at its end. Absent: where the request for the link was sent to. */
  readonly publicUrl?: string | undefined;
}

export interface Safekeeping {
  readonly metadata: Pick<MetadataRepository, 'snapshot'>;
  readonly restorer: Pick<Restorer, 'run'>;
  /** Where a backup that comes in lies until it is loaded. */
  readonly stagingDir: string;
}

/** What the routes of the public port need. */
export interface Front {
  readonly files: FileService;
  readonly access: AccessControl;
  readonly linkKeys: LinkKeys;
  readonly openings: Openings;
  readonly accessKeys: Pick<AccessKeys, 'list' | 'get' | 'add' | 'remove'>;
  readonly metadata: FrontMetadata;
  readonly nodes: NodeDirectory;
  readonly nodeAdmin: NodeAdmin;
  readonly repair: FrontRepair;
  readonly caching: FrontCaching;
  /** Why nothing expires at the moment; undefined when the clock is trusted. */
  readonly clockDoubt?: () => ReturnType<GracePeriod['doubt']>;
  /** How the journal is kept on nodes. */
  readonly journal?: () => JournalAnswer;
  readonly clock: Clock;
  readonly config: FrontConfig;
  readonly version: string;
  /** What this program logged lately. */
  readonly log: Pick<LogRing, 'lines' | 'clear'>;
  /** Where nodes report, for one that reached this server under a host's name or address. */
  readonly managementUrl: (host: string) => string;
  /** How the database is kept and rebuilt; absent where there is none. */
  readonly safekeeping?: Safekeeping;
}

export const filesMount = '/fs';
/** What follows is the id of a content. */
export const byIdMount = '/api/v1/files/';

/** The path in the tree that a request under a mount such as `/fs` names. Rejects with `invalid-path`. */
export const pathUnder = (mount: string, exchange: Exchange) =>
  parseUrlPath(exchange.target.path.slice(mount.length));

/** Rejects with `in-recovery` while the master must not serve. */
export function checkServing(nodes: Pick<NodeDirectory, 'recovery'>): void {
  const reason = nodes.recovery();
  if (reason === undefined) return;
  throw new StoreError('in-recovery', reason, {
    hint: restoreHint,
    retryAfterSeconds: 30,
  });
}

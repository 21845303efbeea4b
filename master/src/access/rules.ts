import { type AccessRole, type FilePath, isWithin, rootPath } from '@dfs/shared';

/** Who asks, as far as they proved it. */
export type Principal =
  | { readonly kind: 'admin' }
  | {
      readonly kind: 'key';
      readonly id: string;
      readonly role: AccessRole;
      readonly prefix: FilePath;
    }
  | { readonly kind: 'anonymous' };

/** What is asked for. `share` opens a file to others for a time; `admin` is everything about the cluster, and the keys, rather than about files. */
export type Operation = 'read' | 'list' | 'write' | 'delete' | 'share' | 'admin';

/** What it is asked of. */
export interface AccessTarget {
  /** Absent where it is about the whole cluster, or about what has no name. */
  readonly path?: FilePath;
  /** Whether the thing is public; false when there is no such thing, so that a stranger cannot probe for names. */
  readonly isPublic?: boolean;
}

const operationsOf: Readonly<Record<AccessRole, ReadonlySet<Operation>>> = {
  read: new Set<Operation>(['read', 'list']),
  write: new Set<Operation>(['read', 'list', 'write', 'delete', 'share']),
  admin: new Set<Operation>(['read', 'list', 'write', 'delete', 'share', 'admin']),
};

/**
 * Whether somebody may do something: the one table of rights. The cluster key may all. An access key may inside its prefix what its role names, and outside what anyone
 * may; what has no path is inside the root alone. Directories on the way to the prefix can be listed, since nobody could find it otherwise; of what is in them only that way is shown.
 * Anyone may read and list what is public. Pure.
 */
export function isAllowed(
  principal: Principal,
  operation: Operation,
  { path, isPublic = false }: AccessTarget = {},
): boolean {
  if (principal.kind === 'admin') return true;
  const isLooking = operation === 'read' || operation === 'list';
  if (isLooking && isPublic) return true;
  if (principal.kind === 'anonymous') return false;
  const { role, prefix } = principal;
  if (!operationsOf[role].has(operation)) return false;
  if (isWithin(path ?? rootPath, prefix)) return true;
  return operation === 'list' && path !== undefined && isWithin(prefix, path);
}

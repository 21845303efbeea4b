import { type FilePath, rootPath } from '@dfs/shared';
import type { Exchange } from '../http/exchange.ts';

/** Where a sender's rights reach furthest: what it may not do there it may do nowhere, which is known before its form, with the path in it, is read. */
export const somewhere = ({ principal }: Exchange): { readonly path: FilePath } => ({
  path: principal.kind === 'key' ? principal.prefix : rootPath,
});

import { type Clock, type FilePath, type LinkOpening, type Opening, StoreError } from '@dfs/shared';
import type { NamedFile } from '../metadata/metadata-repository.ts';
import type { Rights } from '../metadata/rights.ts';
import { aheadMaxMs, type LinkKeys, subjectsOf, verifyLink } from './links.ts';
import { isInNetwork } from './networks.ts';
import { isRevoked } from './openings.ts';

export interface OpeningDependencies {
  readonly metadata: Pick<Rights, 'grantsOf' | 'revocationsOf'>;
  readonly linkKeys: LinkKeys;
  readonly clock: Clock;
}

/** A link that was presented, as far as its own text tells. */
type JudgedLink =
  | { readonly opening: LinkOpening; readonly isOf: (named: NamedFile) => boolean }
  | { readonly fault: string };

/**
 * What a signature opens at a path: the opening, or why there is none. A signature counts for GET and HEAD; whoever calls this serves nothing else. `named` is what the
 * path has now, if anything.
 */
export async function openingByLink(
  { metadata, linkKeys, clock }: OpeningDependencies,
  { path, signature, named }: { path: FilePath; signature: string; named: NamedFile | undefined },
): Promise<LinkOpening | { readonly fault: string }> {
  const link = judgeText({ linkKeys, nowMs: clock.now() }, path, signature);
  if ('fault' in link) return link;
  if (isRevoked(link.opening, await metadata.revocationsOf(link.opening.subjects))) {
    return { fault: 'The link was revoked.' };
  }
  if (named && !link.isOf(named)) {
    return { fault: 'The link is of a content that was replaced since.' };
  }
  return link.opening;
}

function judgeText(
  { linkKeys, nowMs }: { linkKeys: LinkKeys; nowMs: number },
  path: FilePath,
  signature: string,
): JudgedLink {
  const claims = verifyLink(linkKeys.all(), path, signature);
  if (!claims) return { fault: 'The signature is not one of a link to this path.' };
  const { issuedAtMs, expiresAtMs, isDownload, fileId, followsName } = claims;
  if (expiresAtMs <= nowMs) return { fault: 'The link has expired.' };
  // Made by a clock that was ahead: revocations of now would not reach it.
  if (issuedAtMs > nowMs + aheadMaxMs) return { fault: 'The link does not count yet.' };
  return {
    opening: {
      kind: 'link',
      subjects: subjectsOf(path, signature, claims),
      issuedAtMs,
      expiresAtMs,
      isDownload,
    },
    isOf: ({ file }) => followsName || file.id === fileId,
  };
}

/** The grant that lets this address read this content; undefined when there is none. Of several the one that lasts longest. */
export async function openingByAddress(
  { metadata, clock }: Omit<OpeningDependencies, 'linkKeys'>,
  { named, clientAddress }: { named: NamedFile; clientAddress: string },
): Promise<Opening | undefined> {
  const grants = await metadata.grantsOf(named.file.id, clock.now());
  const [longest] = grants
    .filter(({ network }) => isInNetwork(clientAddress, network))
    .toSorted((one, other) => other.expiresAtMs - one.expiresAtMs);
  return longest && { kind: 'grant', network: longest.network, expiresAtMs: longest.expiresAtMs };
}

/** Why somebody with a link is not let in. */
export const linkRefused = (fault: string) =>
  new StoreError('unauthorized', fault, { hint: 'Ask whoever shared the file for a new link.' });

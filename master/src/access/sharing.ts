import { randomBytes } from 'node:crypto';
import { type Clock, type FileId, type FilePath, newEntryId, StoreError } from '@dfs/shared';
import type { MetadataRepository, NamedFile } from '../metadata/metadata-repository.ts';
import type { AddressGrant, GrantsPage } from '../metadata/rights.ts';
import type { AccessControl } from './access-control.ts';
import {
  aheadMaxMs,
  claimsOf,
  type LinkKeys,
  saltBytes,
  signLink,
  subjectOfContent,
  subjectOfPath,
  subjectOfSignature,
  verifyLink,
} from './links.ts';
import { parseNetwork } from './networks.ts';
import type { Openings } from './openings.ts';
import type { Principal } from './rules.ts';

/** What sharing needs; the front of a public port has it all. */
export interface Sharing {
  readonly access: Pick<AccessControl, 'authorize' | 'may'>;
  readonly metadata: Pick<
    MetadataRepository,
    | 'findFile'
    | 'findFileById'
    | 'addGrant'
    | 'removeGrants'
    | 'listGrants'
    | 'addRevocation'
    | 'revocationsOf'
  >;
  readonly linkKeys: LinkKeys;
  readonly openings: Openings;
  readonly clock: Clock;
}

export interface ShareOptions {
  /** How long, from now; a whole number up to `shareSecondsMax`. */
  readonly seconds: number;
  /** The file is to be saved rather than shown. */
  readonly download?: boolean;
  /** Opens whatever content the path has; else only the one that it has now. */
  readonly follow?: boolean;
}

export interface SharedLink {
  /** For the query parameter `signature`. */
  readonly signature: string;
  readonly expiresAtMs: number;
}

/** What was taken back. */
export interface Unshared {
  readonly grants: number;
  /** Downloads that ran under it on this master, and were cut. */
  readonly cut: number;
}

/** A year: so long revocations have to be kept. */
export const shareSecondsMax = 366 * 86_400;
const grantsPageMax = 1_000;

/**
 * Makes a link that opens one file for a time, for GET and HEAD. Rejects: `unauthorized`, `forbidden` (no right to share there), `invalid-request` (the time), `not-found`, `is-a-directory`, `conflict`
 * (the file is public, or the cluster has no key to sign with).
 */
export async function shareLink(
  front: Sharing,
  principal: Principal,
  path: FilePath,
  { seconds, download = false, follow = false }: ShareOptions,
): Promise<SharedLink> {
  const { file } = await findShared(front, principal, path, seconds);
  const [key] = front.linkKeys.all();
  if (key === undefined) throw noKey();
  const nowMs = front.clock.now();
  // A revocation takes all links of its second: one that is made right after it is of the next.
  const issuedAtMs = Math.max(
    nowMs,
    await lastRevokedMs(front, [subjectOfContent(file.id), subjectOfPath(path)]),
  );
  if (issuedAtMs > nowMs + aheadMaxMs) throw revokedAhead(path, issuedAtMs);
  const expiresAtMs = Math.ceil((nowMs + seconds * 1000) / 1000) * 1000;
  const claims = { fileId: file.id, issuedAtMs, expiresAtMs };
  const said = { ...claims, isDownload: download, followsName: follow };
  const signature = signLink(key, path, said, randomBytes(saltBytes));
  return { signature, expiresAtMs };
}

/**
 * Revokes one link at once, and cuts the downloads that run under it. `path` is what it opens; without it, where its content is now, and where that is unknown the right to share is
 * needed over the whole tree. Rejects: `unauthorized`, `forbidden`, `invalid-request` (no signature), `not-found` (not one of a link to that path).
 */
export async function revokeLink(
  { access, metadata, linkKeys, openings, clock }: Sharing,
  principal: Principal,
  signature: string,
  path?: FilePath,
): Promise<Unshared> {
  const claims = claimsOf(signature);
  if (path !== undefined) access.authorize(principal, 'share', { path });
  if (!claims) {
    // Before anything is told to a stranger.
    if (path === undefined) access.authorize(principal, 'share');
    throw new StoreError('invalid-request', 'The signature is not one of a link.', {
      hint: 'Give the value of the parameter "signature" of a link.',
    });
  }
  if (path === undefined) {
    const now = await metadata.findFileById(claims.fileId);
    const isItsPath = now && verifyLink(linkKeys.all(), now.path, signature) !== undefined;
    access.authorize(principal, 'share', isItsPath ? { path: now.path } : {});
  } else if (verifyLink(linkKeys.all(), path, signature) === undefined) {
    throw new StoreError('not-found', `The signature is not one of a link to ${path}.`, {
      hint: 'Give the link as it was made. What was made with a cluster key that counts no more opens nothing.',
    });
  }
  if (claims.expiresAtMs > clock.now()) {
    await metadata.addRevocation({
      subject: subjectOfSignature(signature),
      issuedBeforeMs: claims.issuedAtMs + 1000,
      expiresAtMs: claims.expiresAtMs,
    });
  }
  const cut = openings.linksRevoked({
    subject: subjectOfSignature(signature),
    issuedBeforeMs: claims.issuedAtMs + 1000,
  });
  return { grants: 0, cut };
}

/**
 * Takes back every link to a path and every grant that was made there, and cuts the downloads that run under them. Rejects: `unauthorized`, `forbidden`; `not-found` when there is no file and was no
 * grant, for whoever mistyped a path must not believe that it is done. Links to that path are revoked all the same.
 */
export async function unshare(
  front: Sharing,
  principal: Principal,
  path: FilePath,
): Promise<Unshared> {
  const { access, metadata, openings, clock } = front;
  access.authorize(principal, 'share', { path });
  const file = (await findFileOrNothing(front, path))?.file;
  const subjects = [subjectOfPath(path), ...(file ? [subjectOfContent(file.id)] : [])];
  // Links tell their second alone, and those that were made since the last revocation may be of the one after that.
  const latestMs = Math.max(clock.now(), await lastRevokedMs(front, subjects));
  const issuedBeforeMs = (Math.floor(latestMs / 1000) + 1) * 1000;
  const expiresAtMs = issuedBeforeMs + shareSecondsMax * 1000;
  let cut = 0;
  for (const subject of subjects) {
    await metadata.addRevocation({ subject, issuedBeforeMs, expiresAtMs });
    cut += openings.linksRevoked({ subject, issuedBeforeMs });
  }
  const grants = await revokeGrant(front, principal, path);
  if (!file && grants.grants === 0) {
    throw new StoreError('not-found', `There is no file at ${path}.`, {
      hint: 'Links to that path open nothing any more all the same; "dfs ls" shows which names there are.',
    });
  }
  return { grants: grants.grants, cut: cut + grants.cut };
}

/**
 * Lets a network, or one address, read a file for a time. Rejects: `unauthorized`, `forbidden`, `invalid-request` (the network or the time), `not-found`, `is-a-directory`, `conflict`
 * (the file is public, has too many grants, or the cluster has no key).
 */
export async function grantAddress(
  front: Sharing,
  principal: Principal,
  path: FilePath,
  request: { readonly network: string; readonly seconds: number },
): Promise<AddressGrant> {
  const { seconds } = request;
  front.access.authorize(principal, 'share', { path });
  const network = parseNetwork(request.network);
  const { file } = await findShared(front, principal, path, seconds);
  const nowMs = front.clock.now();
  const grant: AddressGrant = {
    id: newEntryId(),
    path,
    fileId: file.id,
    network,
    createdBy: principal.kind === 'key' ? principal.id : 'admin',
    createdAtMs: nowMs,
    expiresAtMs: nowMs + seconds * 1000,
  };
  await front.metadata.addGrant(grant);
  return grant;
}

/** Takes back the grants that were made at a path, or those for exactly this network, and cuts the downloads that run under them. Rejects: `unauthorized`, `forbidden`, `invalid-request`. */
export async function revokeGrant(
  front: Sharing,
  principal: Principal,
  path: FilePath,
  network?: string,
): Promise<Unshared> {
  const { access, metadata, openings } = front;
  access.authorize(principal, 'share', { path });
  const ofNetwork = network === undefined ? {} : { network: parseNetwork(network) };
  const named = await findFileOrNothing(front, path);
  const contents = new Set<FileId>(named ? [named.file.id] : []);
  // What was replaced since may come back from the trash.
  for await (const grant of grantsUnder(front, path)) {
    if (grant.path === path) contents.add(grant.fileId);
  }
  let grants = 0;
  let cut = 0;
  for (const fileId of contents) {
    grants += await metadata.removeGrants({ fileId, ...ofNetwork });
    cut += openings.grantsRemoved({ fileId, ...ofNetwork });
  }
  return { grants, cut };
}

/** The grants that hold now of files that were at a path or below when they were made, by the time they were made. Rejects: `unauthorized`, `forbidden`. */
export async function listGrants(
  { access, metadata, clock }: Sharing,
  principal: Principal,
  page: { readonly under: FilePath; readonly after?: string; readonly limit: number },
): Promise<GrantsPage> {
  access.authorize(principal, 'share', { path: page.under });
  const nowMs = clock.now();
  const { grants, next } = await metadata.listGrants(page);
  return {
    grants: grants.filter(({ expiresAtMs }) => expiresAtMs > nowMs),
    ...(next === undefined ? {} : { next }),
  };
}

/** Before when links were revoked last under one of these subjects; 0: never. */
async function lastRevokedMs({ metadata }: Sharing, subjects: readonly string[]): Promise<number> {
  const revocations = await metadata.revocationsOf(subjects);
  return Math.max(0, ...revocations.map(({ issuedBeforeMs }) => issuedBeforeMs));
}

async function* grantsUnder({ metadata }: Sharing, under: FilePath): AsyncGenerator<AddressGrant> {
  for (let after: string | undefined = ''; after !== undefined; ) {
    const page: GrantsPage = await metadata.listGrants({ under, after, limit: grantsPageMax });
    yield* page.grants;
    after = page.next;
  }
}

/** The file that somebody wants to share for so long, if they may. */
async function findShared(
  { access, metadata, linkKeys }: Sharing,
  principal: Principal,
  path: FilePath,
  seconds: number,
): Promise<NamedFile> {
  access.authorize(principal, 'share', { path });
  if (linkKeys.all().length === 0) throw noKey();
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > shareSecondsMax) {
    throw new StoreError('invalid-request', 'The time to share for is no number of seconds.', {
      hint: `Give a whole number of seconds from 1 to ${shareSecondsMax}.`,
    });
  }
  const named = await metadata.findFile(path);
  if (!named) {
    throw new StoreError('not-found', `There is no file at ${path}.`, {
      hint: 'List the directory above it to see which names there are.',
    });
  }
  if (!named.isPublic) return named;
  throw new StoreError('conflict', `${path} is public: anyone can read it without this.`, {
    hint: 'Give away its address as it is, or make it private first with "dfs chmod private".',
  });
}

async function findFileOrNothing(
  { metadata }: Sharing,
  path: FilePath,
): Promise<NamedFile | undefined> {
  try {
    return await metadata.findFile(path);
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'is-a-directory') return undefined;
    throw error;
  }
}

const revokedAhead = (path: FilePath, issuedBeforeMs: number) =>
  new StoreError(
    'conflict',
    `All links to ${path} that are made before ${new Date(issuedBeforeMs).toISOString()} are revoked, by a clock that was ahead.`,
    { hint: 'Wait until then, or share a copy of the file under another name.' },
  );

const noKey = () =>
  new StoreError('conflict', 'This cluster has no key, and sharing needs one.', {
    hint: 'Start its programs with DFS_CLUSTER_KEY or DFS_CLUSTER_KEY_FILE.',
  });

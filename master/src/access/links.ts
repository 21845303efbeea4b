import { createHash, createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { type FileId, type FilePath, parseFileId } from '@dfs/shared';
import type { ClusterKeyring } from '@dfs/shared/cluster';

/** What a link says. Its signature covers all of it, and the path that it opens. */
export interface LinkClaims {
  /** The content that it was made for. */
  readonly fileId: FileId;
  /** To the second. */
  readonly issuedAtMs: number;
  /** To the second; it opens nothing from then on. */
  readonly expiresAtMs: number;
  /** The file is to be saved rather than shown. */
  readonly isDownload: boolean;
  /** It opens whatever content its path has; else the one that it was made for alone. */
  readonly followsName: boolean;
}

/** A key that signs links, and what tells it from others. */
export interface LinkKey {
  readonly key: Buffer;
  readonly fingerprint: Buffer;
}

/*
 * A signature is base64url of
 *   0  version, 1
 *   1  fingerprint of the key, 4 bytes
 *   5  issued at, Unix seconds, 4 bytes, big-endian as all numbers here
 *   9  expires at, Unix seconds, 4 bytes
 *  13  id of the content, 16 bytes
 *  29  methods: 1 for GET and HEAD
 *  30  flags: 1 download, 2 follows the name
 *  31  3 random bytes: two links that say the same are two, each revoked alone
 *  34  HMAC-SHA256 of the 34 bytes before and the path in UTF-8
 * 66 bytes are 88 letters exactly: no bit is left over, so that each signature has one text alone.
 */
const version = 1;
export const saltBytes = 3;
/** The time of a link may be so far ahead: one that is made right after a revocation has that of a second which is still to come. ms. */
export const aheadMaxMs = 10_000;
const payloadBytes = 31 + saltBytes;
const getAndHead = 1;
const downloadFlag = 1;
const followFlag = 2;
const signatureText = /^[A-Za-z0-9_-]{88}$/;

/** The key for links, derived from the cluster key (HKDF, RFC 5869), so that a link gives nothing of it away. */
export function deriveLinkKey(clusterKey: string): LinkKey {
  const key = Buffer.from(hkdfSync('sha256', clusterKey, '', 'dfs link v1', 32));
  return { key, fingerprint: createHash('sha256').update(key).digest().subarray(0, 4) };
}

/** The text that opens `path` for GET and HEAD as the claims say; `salt`: `saltBytes` random bytes. Pure. */
export function signLink(
  { key, fingerprint }: LinkKey,
  path: FilePath,
  claims: LinkClaims,
  salt: Uint8Array,
): string {
  const payload = Buffer.alloc(payloadBytes);
  payload.writeUInt8(version, 0);
  fingerprint.copy(payload, 1);
  payload.writeUInt32BE(Math.floor(claims.issuedAtMs / 1000), 5);
  payload.writeUInt32BE(Math.floor(claims.expiresAtMs / 1000), 9);
  Buffer.from(claims.fileId.replaceAll('-', ''), 'hex').copy(payload, 13);
  payload.writeUInt8(getAndHead, 29);
  payload.writeUInt8(
    (claims.isDownload ? downloadFlag : 0) | (claims.followsName ? followFlag : 0),
    30,
  );
  payload.set(salt.subarray(0, saltBytes), 31);
  return Buffer.concat([payload, macOf(key, payload, path)]).toString('base64url');
}

/** What a signature claims, proved or not; undefined for a text that is none. Pure. */
export function claimsOf(signature: string): LinkClaims | undefined {
  const bytes = bytesOf(signature);
  if (bytes === undefined) return undefined;
  const hex = bytes.toString('hex', 13, 29);
  const id = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  try {
    return {
      fileId: parseFileId(id),
      issuedAtMs: bytes.readUInt32BE(5) * 1000,
      expiresAtMs: bytes.readUInt32BE(9) * 1000,
      isDownload: (bytes.readUInt8(30) & downloadFlag) !== 0,
      followsName: (bytes.readUInt8(30) & followFlag) !== 0,
    };
  } catch {
    return undefined;
  }
}

/** The claims of a signature that one of these keys made for this path; undefined for every other. In time that tells nothing of the keys. Pure. */
export function verifyLink(
  keys: readonly LinkKey[],
  path: FilePath,
  signature: string,
): LinkClaims | undefined {
  const bytes = bytesOf(signature);
  if (bytes === undefined) return undefined;
  const payload = bytes.subarray(0, payloadBytes);
  const mac = bytes.subarray(payloadBytes);
  // Two keys may share a fingerprint.
  const isSigned = keys
    .filter(({ fingerprint }) => fingerprint.equals(payload.subarray(1, 5)))
    .some(({ key }) => timingSafeEqual(mac, macOf(key, payload, path)));
  return isSigned ? claimsOf(signature) : undefined;
}

/** Under which a revocation of a link is looked up: of it alone, of all links of its content, of all links of its path. Pure. */
export const subjectsOf = (path: FilePath, signature: string, { fileId }: LinkClaims): string[] => [
  subjectOfSignature(signature),
  subjectOfContent(fileId),
  subjectOfPath(path),
];

export const subjectOfSignature = (signature: string) => `s:${sha256(signature)}`;
export const subjectOfContent = (fileId: FileId) => `f:${fileId}`;
export const subjectOfPath = (path: FilePath) => `p:${sha256(path)}`;

/** The keys for links of a keyring that may change: the first signs, each is accepted. */
export class LinkKeys {
  readonly #keyring: Pick<ClusterKeyring, 'all'>;
  #of: readonly string[] = [];
  #keys: readonly LinkKey[] = [];

  constructor(keyring: Pick<ClusterKeyring, 'all'>) {
    this.#keyring = keyring;
  }

  /** None in a cluster without a key. */
  all(): readonly LinkKey[] {
    const now = this.#keyring.all();
    if (now !== this.#of) {
      this.#keys = now.map(deriveLinkKey);
      this.#of = now;
    }
    return this.#keys;
  }
}

/** The bytes of a text that has the form of a signature of this version and of nothing else. */
function bytesOf(signature: string): Buffer | undefined {
  if (!signatureText.test(signature)) return undefined;
  const bytes = Buffer.from(signature, 'base64url');
  const isKnown =
    bytes.readUInt8(0) === version &&
    bytes.readUInt8(29) === getAndHead &&
    bytes.readUInt8(30) <= (downloadFlag | followFlag);
  return isKnown ? bytes : undefined;
}

const macOf = (key: Buffer, payload: Buffer, path: FilePath) =>
  createHmac('sha256', key).update(payload).update(path, 'utf8').digest();

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

import type { AccessRole, FileId, FilePath } from '@dfs/shared';
import type { Image } from './journal.ts';
import type { AccessKeyRecord, AddressGrant, LinkRevocation } from './rights.ts';
import { wholeNumber } from './rows.ts';

/** Between rows of the tables of rights and the words of this program. */

export interface AccessKeyRow {
  readonly id: string;
  readonly name: string;
  readonly role: AccessRole;
  readonly prefix: FilePath;
  readonly secret: string;
  readonly created_at: number;
}

export const accessKeyColumns = ['id', 'name', 'role', 'prefix', 'secret', 'created_at'] as const;

export const accessKeyRowOf = ({ createdAtMs, ...key }: AccessKeyRecord): AccessKeyRow => ({
  ...key,
  created_at: wholeNumber(createdAtMs),
});

export const accessKeyOf = ({ created_at, ...row }: AccessKeyRow): AccessKeyRecord => ({
  ...row,
  createdAtMs: created_at,
});

export interface GrantRow {
  readonly id: string;
  readonly path: FilePath;
  readonly file_id: FileId;
  readonly network: string;
  readonly created_by: string;
  readonly created_at: number;
  readonly expires_at: number;
}

export const grantColumns = [
  'id',
  'path',
  'file_id',
  'network',
  'created_by',
  'created_at',
  'expires_at',
] as const;

export const grantRowOf = (grant: AddressGrant): GrantRow => ({
  id: grant.id,
  path: grant.path,
  file_id: grant.fileId,
  network: grant.network,
  created_by: grant.createdBy,
  created_at: wholeNumber(grant.createdAtMs),
  expires_at: wholeNumber(grant.expiresAtMs),
});

export const grantOf = (row: GrantRow): AddressGrant => ({
  id: row.id,
  path: row.path,
  fileId: row.file_id,
  network: row.network,
  createdBy: row.created_by,
  createdAtMs: row.created_at,
  expiresAtMs: row.expires_at,
});

export interface RevocationRow {
  readonly subject: string;
  readonly issued_before: number;
  readonly expires_at: number;
}

export const revocationColumns = ['subject', 'issued_before', 'expires_at'] as const;

export const revocationRowOf = (revocation: LinkRevocation): RevocationRow => ({
  subject: revocation.subject,
  issued_before: wholeNumber(revocation.issuedBeforeMs),
  expires_at: wholeNumber(revocation.expiresAtMs),
});

export const revocationOf = (row: RevocationRow): LinkRevocation => ({
  subject: row.subject,
  issuedBeforeMs: row.issued_before,
  expiresAtMs: row.expires_at,
});

export const accessKeyImage = (key: AccessKeyRecord): Image => ({
  table: 'access_keys',
  op: 'upsert',
  key: { id: key.id },
  row: accessKeyRowOf(key),
});

export const accessKeyGone = (id: string): Image => ({
  table: 'access_keys',
  op: 'delete',
  key: { id },
});

export const grantImage = (grant: AddressGrant): Image => ({
  table: 'address_grants',
  op: 'upsert',
  key: { id: grant.id },
  row: grantRowOf(grant),
});

export const grantGone = (id: string): Image => ({
  table: 'address_grants',
  op: 'delete',
  key: { id },
});

export const revocationImage = (revocation: LinkRevocation): Image => ({
  table: 'link_revocations',
  op: 'upsert',
  key: { subject: revocation.subject },
  row: revocationRowOf(revocation),
});

export const revocationGone = (subject: string): Image => ({
  table: 'link_revocations',
  op: 'delete',
  key: { subject },
});

import type { FileId } from '@dfs/shared';
import type { AddressGrant, GrantsPage, LinkRevocation, Rights } from '../../metadata/rights.ts';

/** Grants and revocations for the tests of fronts, in memory. */
export class MemoryRights
  implements
    Pick<
      Rights,
      'addGrant' | 'removeGrants' | 'grantsOf' | 'listGrants' | 'addRevocation' | 'revocationsOf'
    >
{
  readonly grants = new Map<string, AddressGrant>();
  readonly revocations = new Map<string, LinkRevocation>();

  async addGrant(grant: AddressGrant): Promise<void> {
    this.grants.set(grant.id, grant);
  }

  async removeGrants({ fileId, network }: { fileId: FileId; network?: string }): Promise<number> {
    const meant = [...this.grants.values()].filter(
      (grant) => grant.fileId === fileId && (network === undefined || grant.network === network),
    );
    for (const { id } of meant) this.grants.delete(id);
    return meant.length;
  }

  async grantsOf(fileId: FileId, nowMs: number): Promise<readonly AddressGrant[]> {
    return this.#sorted().filter((grant) => grant.fileId === fileId && grant.expiresAtMs > nowMs);
  }

  async listGrants({
    under,
    after = '',
    limit,
  }: Parameters<Rights['listGrants']>[0]): Promise<GrantsPage> {
    const all = this.#sorted().filter(
      ({ id, path }) =>
        id > after && (under === '/' || path === under || path.startsWith(`${under}/`)),
    );
    const grants = all.slice(0, limit);
    const last = all.length > limit ? grants.at(-1) : undefined;
    return { grants, ...(last ? { next: last.id } : {}) };
  }

  async addRevocation(revocation: LinkRevocation): Promise<void> {
    const { subject } = revocation;
    const known = this.revocations.get(subject) ?? revocation;
    this.revocations.set(subject, {
      subject,
      issuedBeforeMs: Math.max(known.issuedBeforeMs, revocation.issuedBeforeMs),
      expiresAtMs: Math.max(known.expiresAtMs, revocation.expiresAtMs),
    });
  }

  async revocationsOf(subjects: readonly string[]): Promise<readonly LinkRevocation[]> {
    return subjects.flatMap((subject) => this.revocations.get(subject) ?? []);
  }

  #sorted(): AddressGrant[] {
    return [...this.grants.values()].sort((one, other) => (one.id < other.id ? -1 : 1));
  }
}

import type { Clock, FileId, GrantOpening, LinkOpening, Opening } from '@dfs/shared';
import type { LinkRevocation, Rights } from '../metadata/rights.ts';

export interface OpeningsDependencies {
  readonly metadata: Pick<Rights, 'grantsOf' | 'revocationsOf'>;
  readonly clock: Clock;
}

interface Held {
  readonly opening: LinkOpening | GrantOpening;
  readonly fileId: FileId;
  readonly cut: () => void;
}

/** The downloads that run under links and grants, so that they end when these are taken back. */
export class Openings {
  readonly #deps: OpeningsDependencies;
  readonly #held = new Set<Held>();

  constructor(dependencies: OpeningsDependencies) {
    this.#deps = dependencies;
  }

  /**
   * From now on until the function that it gives is called, `cut` is called once when the opening is taken back. Does nothing for what cannot be. Call it once
   * the opening was found: it looks again, so that nothing that is taken back in between is missed.
   */
  hold(opening: Opening, fileId: FileId, cut: () => void): () => void {
    if (opening.kind === 'right' || opening.kind === 'public') return () => {};
    const held: Held = { opening, fileId, cut };
    this.#held.add(held);
    this.isStillOpen(opening, fileId).then(
      (isOpen) => {
        if (!isOpen) this.#cut((each) => each === held);
      },
      // It was open a moment ago, and a database that fails takes nothing back.
      () => undefined,
    );
    return () => {
      this.#held.delete(held);
    };
  }

  /**
   * False when the link was revoked or the grant taken back. That its time is over does not count: what began in time may go on. True for all that cannot be
   * taken back.
   */
  async isStillOpen(opening: Opening, fileId: FileId): Promise<boolean> {
    if (opening.kind === 'link') {
      return !isRevoked(opening, await this.#deps.metadata.revocationsOf(opening.subjects));
    }
    if (opening.kind !== 'grant') return true;
    const nowMs = this.#deps.clock.now();
    // Its row may be gone for that reason alone.
    if (opening.expiresAtMs <= nowMs) return true;
    const grants = await this.#deps.metadata.grantsOf(fileId, nowMs);
    return grants.some(({ network }) => network === opening.network);
  }

  /** Ends what runs under links of this subject that were issued before. Gives how many downloads. */
  linksRevoked(revocation: Pick<LinkRevocation, 'subject' | 'issuedBeforeMs'>): number {
    return this.#cut(
      ({ opening }) =>
        opening.kind === 'link' &&
        opening.subjects.includes(revocation.subject) &&
        isRevoked(opening, [revocation]),
    );
  }

  /** Ends what runs under grants of this content, or under those for this network alone. Gives how many downloads. */
  grantsRemoved(of: { readonly fileId: FileId; readonly network?: string }): number {
    return this.#cut(
      ({ opening, fileId }) =>
        opening.kind === 'grant' &&
        fileId === of.fileId &&
        (of.network === undefined || opening.network === of.network),
    );
  }

  #cut(isMeant: (held: Held) => boolean): number {
    const meant = [...this.#held].filter(isMeant);
    for (const held of meant) {
      this.#held.delete(held);
      held.cut();
    }
    return meant.length;
  }
}

/** Whether one of the revocations of a link's subjects is of its time. Pure. */
export const isRevoked = (
  { issuedAtMs }: Pick<LinkOpening, 'issuedAtMs'>,
  revocations: readonly Pick<LinkRevocation, 'issuedBeforeMs'>[],
): boolean => revocations.some(({ issuedBeforeMs }) => issuedAtMs < issuedBeforeMs);

/** By which right somebody reads a file. Plain data: the master hands it to nodes, and asks by it later whether it still holds. */
export type Opening =
  /** Whoever asks may read it. */
  | { readonly kind: 'right' }
  /** Anyone may. */
  | { readonly kind: 'public' }
  | LinkOpening
  | GrantOpening;

/** A signed link opened it. */
export interface LinkOpening {
  readonly kind: 'link';
  /** Under which a revocation of it is written down; never the signature itself. */
  readonly subjects: readonly string[];
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
  /** The link asks for the file to be saved rather than shown. */
  readonly isDownload: boolean;
}

/** The client's address is in a network that may read it. */
export interface GrantOpening {
  readonly kind: 'grant';
  /** CIDR, as it is stored. */
  readonly network: string;
  readonly expiresAtMs: number;
}

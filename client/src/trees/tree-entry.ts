/** What a walk finds at one path, relative to the top of the tree. */
export interface TreeFile {
  readonly path: string;
  readonly kind: 'file';
  readonly sizeBytes: number;
  /** To the millisecond, which is all that both sides keep. */
  readonly modifiedMs: number;
}

export interface TreeDirectory {
  readonly path: string;
  readonly kind: 'directory';
  readonly modifiedMs: number;
}

/** A file of the store. */
export interface RemoteFile extends TreeFile {
  readonly md5: string;
}

/** A file of this machine, with all by which a change of it would be noticed. */
export interface LocalFile extends TreeFile {
  /** Where it is known without reading. */
  readonly md5?: string;
  readonly stamp: FileStamp;
}

/** When these are the same, so is the content. */
export interface FileStamp {
  readonly sizeBytes: number;
  readonly inode: string;
  /** Nanoseconds, as text. */
  readonly modified: string;
  readonly changed: string;
}

/** Something that is there and is not looked into: what lies there or below it on the other side must stay. */
export interface Skipped {
  readonly path: string;
  readonly kind: 'skipped';
  readonly reason: string;
  /** Whether it should have been taken: a file or directory that cannot be read, a name that cannot be kept. */
  readonly isFailure: boolean;
}

export type RemoteEntry = RemoteFile | TreeDirectory;
export type LocalEntry = LocalFile | TreeDirectory | Skipped;

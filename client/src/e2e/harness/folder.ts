import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { md5Of } from './content.ts';

/** Files by their path: content, or null for a directory. Parents are made. */
export function fillFolder(
  top: string,
  contents: Readonly<Record<string, string | Uint8Array | null>>,
): void {
  mkdirSync(top, { recursive: true });
  for (const [path, content] of Object.entries(contents)) {
    const at = join(top, path);
    mkdirSync(content === null ? at : dirname(at), { recursive: true });
    if (content === null) continue;
    writeFileSync(at, content);
    chmodSync(at, 0o644);
  }
}

export interface FolderEntry {
  /** The MD5 of a file, `directory`, or `other`. */
  readonly content: string;
  readonly modifiedMs: number;
}

/** All that is in a folder of this machine, by path. */
export function readFolder(top: string): Map<string, FolderEntry> {
  const found = new Map<string, FolderEntry>();
  for (const entry of readdirSync(top, { recursive: true, withFileTypes: true })) {
    const at = join(entry.parentPath, entry.name);
    const facts = lstatSync(at);
    const content = facts.isFile()
      ? md5Of(readFileSync(at))
      : facts.isDirectory()
        ? 'directory'
        : 'other';
    found.set(at.slice(top.length + 1), { content, modifiedMs: Math.round(facts.mtimeMs) });
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The same without times. */
export const contentsOf = (top: string) =>
  Object.fromEntries([...readFolder(top)].map(([path, { content }]) => [path, content]));

/** Gives each entry a time of its own, directories last. */
export function setTimes(top: string, startMs: number): void {
  const paths = [...readFolder(top).keys()].reverse();
  for (const [index, path] of paths.entries()) {
    const seconds = (startMs + index * 1001) / 1000;
    utimesSync(join(top, path), seconds, seconds);
  }
}

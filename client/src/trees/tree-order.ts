/**
 * The order in which both sides walk a tree: depth first, a directory before what is in it, the names of one directory by their UTF-8 bytes.
 * Paths are relative to the top of the tree, without a slash at either end; the top itself is the empty path.
 */
export function compareTreePaths(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let at = 0; at < shorter; at += 1) {
    const [left, right] = [a.charCodeAt(at), b.charCodeAt(at)];
    if (left !== right) return rankOf(left) - rankOf(right);
  }
  return a.length - b.length;
}

const slash = 0x2f;

/** The slash ends a name, and comes before all that a longer name may go on with; halves of surrogate pairs stand for what is beyond U+FFFF. */
function rankOf(unit: number): number {
  if (unit === slash) return 0;
  if (unit >= 0xe000) return unit - 0x800;
  return unit >= 0xd800 ? unit + 0x2000 : unit;
}

/** Whether a path is the other one or lies below it. */
export const isWithin = (path: string, top: string) =>
  top === '' || path === top || path.startsWith(`${top}/`);

/** The path of a name in a directory. */
export const joinTreePath = (directory: string, name: string) =>
  directory === '' ? name : `${directory}/${name}`;

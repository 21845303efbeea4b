import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { seededRandom } from '../e2e/harness/content.ts';
import { compareTreePaths } from '../trees/tree-order.ts';
import { SortedState } from './sorted-state.ts';

describe('facts by path on disk', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'dfs-state-'));
    file = join(folder, 'deeper', 'base');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** All that a state holds. */
  async function all(state: SortedState<string>): Promise<Record<string, string>> {
    const paths: string[] = [];
    await state.cursor((path) => paths.push(path)).finish();
    const cursor = state.cursor();
    const facts: Record<string, string> = {};
    for (const path of paths) facts[path] = (await cursor.at(path)) as string;
    return facts;
  }

  it('are there again when it is opened anew', async () => {
    const state = await SortedState.open<string>(file);
    for (const path of ['b', 'a', 'a/b', 'a-b', 'gone']) state.set(path, path.toUpperCase());
    state.set('gone', undefined);
    state.set('a', 'changed');
    await state.close();
    const again = await SortedState.open<string>(file);
    expect(await all(again)).toEqual({ a: 'changed', 'a/b': 'A/B', 'a-b': 'A-B', b: 'B' });
    expect(readdirSync(join(folder, 'deeper'))).toEqual(['base']);
  });

  it('outlive a process that did not close it, but for a line that was cut short', async () => {
    const state = await SortedState.open<string>(file, 3);
    for (let n = 0; n < 8; n += 1) state.set(`path ${n}`, String(n));
    state.set('path 0', 'newer');
    appendFileSync(`${file}.log`, '["path 1","cut');
    const again = await SortedState.open<string>(file);
    const facts = await all(again);
    expect(facts['path 0']).toBe('newer');
    expect(facts['path 1']).toBe('1');
    expect(Object.keys(facts)).toHaveLength(8);
  });

  it('are met along a walk, and those that it does not meet are told', async () => {
    const state = await SortedState.open<string>(file);
    for (const path of ['a', 'b', 'c', 'd', 'e']) state.set(path, path);
    await state.close();
    const passed: string[] = [];
    const cursor = state.cursor((path) => passed.push(path));
    expect(await cursor.at('a!')).toBeUndefined();
    expect(await cursor.at('c')).toBe('c');
    expect(await cursor.at('cc')).toBeUndefined();
    await cursor.finish();
    expect(passed).toEqual(['a', 'b', 'd', 'e']);
  });

  it.each([1, 2, 3, 4, 5])('are those of a map, whatever happened: seed %i', async (seed) => {
    const random = seededRandom(seed);
    const whole = (most: number) => Math.floor(random() * most);
    const model = new Map<string, string>();
    let state = await SortedState.open<string>(file, 7);
    for (let step = 0; step < 300; step += 1) {
      const path = ['a', 'a/b', 'a-', 'ab', 'b/c', 'b/c/d', 'é', '\u{1f600}'][whole(8)] as string;
      const isRemoval = whole(4) === 0;
      if (isRemoval) model.delete(path);
      else model.set(path, String(step));
      state.set(path, isRemoval ? undefined : String(step));
      if (whole(20) > 1) continue;
      // Closed, or left by a process that died.
      if (whole(2) === 0) await state.close();
      state = await SortedState.open<string>(file, 7);
      const facts = await all(state);
      expect(facts).toEqual(Object.fromEntries(model));
      expect(Object.keys(facts)).toEqual([...model.keys()].sort(compareTreePaths));
    }
  });

  it('reject when the file is damaged, and say what to do', async () => {
    const state = await SortedState.open<string>(file);
    state.set('a', 'a');
    await state.close();
    appendFileSync(file, 'no JSON\n');
    await expect(all(await SortedState.open<string>(file))).rejects.toThrow('is damaged');
    expect(readFileSync(file, 'utf8')).toContain('no JSON');
  });
});

interface Load {
  isStale: boolean;
}

/**
 * Values of rows, in two generations: what is asked for is in the young one; when that is full, it becomes the old one, and what was not asked for
 * meanwhile is forgotten. A hit costs one look-up, where an exact order of use would cost three.
 *
 * What is committed is set or deleted here; a read that began before such a change and ends after it is not kept, since it may be of the time before.
 */
export class Cache<Key, Value> {
  readonly #youngWeightMax: number;
  readonly #weightOf: (value: Value) => number;
  readonly #loads = new Map<Key, Set<Load>>();
  #young = new Map<Key, Value>();
  #old = new Map<Key, Value>();
  #youngWeight = 0;

  /** `weightMax`: how much is kept at most, in the unit of `weightOf`, by default 1 a value. */
  constructor(weightMax: number, weightOf: (value: Value) => number = () => 1) {
    this.#youngWeightMax = weightMax / 2;
    this.#weightOf = weightOf;
  }

  get(key: Key): Value | undefined {
    const value = this.#young.get(key);
    if (value !== undefined) return value;
    const old = this.#old.get(key);
    if (old !== undefined) this.#keep(key, old);
    return old;
  }

  /** The value that is committed now. */
  set(key: Key, value: Value): void {
    this.delete(key);
    this.#keep(key, value);
  }

  delete(key: Key): void {
    this.#makeStale(key);
    const young = this.#young.get(key);
    if (young !== undefined) this.#youngWeight -= this.#weightOf(young);
    this.#young.delete(key);
    this.#old.delete(key);
  }

  clear(): void {
    for (const key of this.#loads.keys()) this.#makeStale(key);
    this.#young = new Map();
    this.#old = new Map();
    this.#youngWeight = 0;
  }

  /** The values of these keys: those kept, and the others as `read` gives them. What has no value is absent. */
  async load(
    keys: readonly Key[],
    read: (missing: readonly Key[]) => Promise<Iterable<readonly [Key, Value]>>,
  ): Promise<Map<Key, Value>> {
    const values = new Map<Key, Value>();
    const missing: Key[] = [];
    for (const key of keys) {
      const value = this.get(key);
      if (value === undefined) missing.push(key);
      else values.set(key, value);
    }
    if (missing.length === 0) return values;
    const loads = this.#begin(missing);
    try {
      for (const [key, value] of await read(missing)) {
        values.set(key, value);
        // Another read may have kept it meanwhile.
        if (!loads.get(key)?.isStale && !this.#young.has(key)) this.#keep(key, value);
      }
    } finally {
      this.#end(loads);
    }
    return values;
  }

  #begin(keys: readonly Key[]): Map<Key, Load> {
    const loads = new Map<Key, Load>();
    for (const key of keys) {
      const load = { isStale: false };
      loads.set(key, load);
      const others = this.#loads.get(key);
      if (others) others.add(load);
      else this.#loads.set(key, new Set([load]));
    }
    return loads;
  }

  #end(loads: ReadonlyMap<Key, Load>): void {
    for (const [key, load] of loads) {
      const running = this.#loads.get(key);
      running?.delete(load);
      if (running?.size === 0) this.#loads.delete(key);
    }
  }

  #makeStale(key: Key): void {
    for (const load of this.#loads.get(key) ?? []) load.isStale = true;
  }

  #keep(key: Key, value: Value): void {
    const weight = this.#weightOf(value);
    if (weight > this.#youngWeightMax) return;
    if (this.#youngWeight + weight > this.#youngWeightMax) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#youngWeight = 0;
    }
    this.#young.set(key, value);
    this.#youngWeight += weight;
  }
}

interface Load {
  isStale: boolean;
}

/**
 * Values of rows, the least recently used ones forgotten first. What is committed is set or deleted here; a read that began before such a change
 * and ends after it is not kept, since it may be of the time before.
 */
export class Cache<Key, Value> {
  readonly #weightMax: number;
  readonly #weightOf: (value: Value) => number;
  readonly #values = new Map<Key, Value>();
  readonly #loads = new Map<Key, Set<Load>>();
  #weight = 0;

  /** `weightMax`: how much is kept, in the unit of `weightOf`, by default 1 a value. */
  constructor(weightMax: number, weightOf: (value: Value) => number = () => 1) {
    this.#weightMax = weightMax;
    this.#weightOf = weightOf;
  }

  get(key: Key): Value | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    this.#values.delete(key);
    this.#values.set(key, value);
    return value;
  }

  /** The value that is committed now. */
  set(key: Key, value: Value): void {
    this.#makeStale(key);
    this.#keep(key, value);
  }

  delete(key: Key): void {
    this.#makeStale(key);
    this.#drop(key);
  }

  clear(): void {
    for (const key of this.#loads.keys()) this.#makeStale(key);
    this.#values.clear();
    this.#weight = 0;
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
    const load = this.#begin(missing);
    try {
      for (const [key, value] of await read(missing)) {
        values.set(key, value);
        if (!load.get(key)?.isStale) this.#keep(key, value);
      }
    } finally {
      this.#end(load);
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
    this.#drop(key);
    this.#values.set(key, value);
    this.#weight += this.#weightOf(value);
    for (const oldest of this.#values.keys()) {
      if (this.#weight <= this.#weightMax) return;
      this.#drop(oldest);
    }
  }

  #drop(key: Key): void {
    const value = this.#values.get(key);
    if (value === undefined) return;
    this.#values.delete(key);
    this.#weight -= this.#weightOf(value);
  }
}

/** A cache whose keys all begin alike. */
import type { Duration } from '../duration.ts';
import { InvalidOptionError } from '../errors.ts';
import type { BulkLoader } from '../load/bulk.ts';
import type { LoadContext, Loader } from '../load/runner.ts';
import type { EntryOptions, TouchOptions } from '../load/settings.ts';
import { NAME, NAME_RULE } from '../ring/members.ts';

/** Where an entry stands and what it is, for people. */
export interface Explanation {
  readonly key: string;
  readonly owner: string;
  /** While the ring changes: who else is asked; otherwise undefined. */
  readonly previousOwner: string | undefined;
  readonly epoch: number;
  readonly inMemory: boolean;
  /** `outdated`: written before the node's present ownership of the key, never served. */
  readonly atNode: 'fresh' | 'stale' | 'outdated' | 'absent' | 'unavailable';
  /** Until it is stale; 0 when it is, or is not there. */
  readonly ttlLeftMs: number;
  /** Until the node forgets it. */
  readonly leftMs: number;
  /** Whether a process is loading it. */
  readonly leased: boolean;
  readonly leaseLeftMs: number;
  readonly breaker: 'closed' | 'open' | 'halfOpen';
}

/** A value, and what is known of it. Times in milliseconds. */
export interface ValueInfo<T> {
  readonly value: T;
  /** Since it was loaded or set; a touch does not make it younger. */
  readonly age: number;
  /** For how long it is fresh still; 0 when it is stale. */
  readonly ttlLeft: number;
  /** Where it was found: in the memory of this process, or at a node. */
  readonly tier: 'memory' | 'node';
  /** Past its ttl, or expired, and kept for its staleTtl: `get` does not return it. */
  readonly stale: boolean;
}

/** What can be done with keys: by the cache, and by a namespace of it. */
export interface KeyedCache {
  getOrSet<T>(key: string, loader: Loader<T>, options?: EntryOptions): Promise<T>;
  getOrSetMany<T>(
    keys: string[],
    loader: BulkLoader<T>,
    options?: EntryOptions,
  ): Promise<Array<T | undefined>>;
  get<T>(key: string): Promise<T | undefined>;
  getMany<T>(keys: string[]): Promise<Array<T | undefined>>;
  getWithInfo<T>(key: string): Promise<ValueInfo<T> | undefined>;
  peek<T>(key: string): T | undefined;
  set(key: string, value: unknown, options?: EntryOptions): Promise<boolean>;
  setMany(entries: Iterable<[string, unknown]>, options?: EntryOptions): Promise<boolean[]>;
  delete(key: string): Promise<boolean>;
  deleteMany(keys: string[]): Promise<boolean[]>;
  expire(key: string): Promise<boolean>;
  touch(key: string, life?: TouchOptions | Duration): Promise<boolean>;
  explain(key: string): Promise<Explanation>;
  ownerOf(key: string): string;
}

/**
 * The same methods with `name:` before every key: `namespace('users').get('1')`
 * is `get('users:1')`. Loaders see the keys without it.
 */
export class NamespacedCache implements KeyedCache {
  readonly #cache: KeyedCache;
  readonly #prefix: string;

  /** @internal */
  constructor(cache: KeyedCache, prefix: string) {
    this.#cache = cache;
    this.#prefix = prefix;
  }

  getOrSet<T>(key: string, loader: Loader<T>, options?: EntryOptions): Promise<T> {
    const own = typeof loader !== 'function' ? loader : this.#unprefixed(loader);
    return this.#cache.getOrSet(this.#full(key), own, options);
  }

  getOrSetMany<T>(
    keys: string[],
    loader: BulkLoader<T>,
    options?: EntryOptions,
  ): Promise<Array<T | undefined>> {
    const load: BulkLoader<T> = async (missing, context) => {
      const own = missing.map((key) => this.#short(key));
      const values = await loader([...own], { ...context, key: this.#short(context.key) });
      if (!(values instanceof Map)) return values;
      return own.map((key) => values.get(key));
    };
    return this.#cache.getOrSetMany(this.#fullAll(keys), load, options);
  }

  get<T>(key: string): Promise<T | undefined> {
    return this.#cache.get(this.#full(key));
  }

  getMany<T>(keys: string[]): Promise<Array<T | undefined>> {
    return this.#cache.getMany(this.#fullAll(keys));
  }

  getWithInfo<T>(key: string): Promise<ValueInfo<T> | undefined> {
    return this.#cache.getWithInfo(this.#full(key));
  }

  peek<T>(key: string): T | undefined {
    return this.#cache.peek(this.#full(key));
  }

  set(key: string, value: unknown, options?: EntryOptions): Promise<boolean> {
    return this.#cache.set(this.#full(key), value, options);
  }

  setMany(entries: Iterable<[string, unknown]>, options?: EntryOptions): Promise<boolean[]> {
    const full = Array.from(entries, ([key, value]): [string, unknown] => [this.#full(key), value]);
    return this.#cache.setMany(full, options);
  }

  delete(key: string): Promise<boolean> {
    return this.#cache.delete(this.#full(key));
  }

  deleteMany(keys: string[]): Promise<boolean[]> {
    return this.#cache.deleteMany(this.#fullAll(keys));
  }

  expire(key: string): Promise<boolean> {
    return this.#cache.expire(this.#full(key));
  }

  touch(key: string, life?: TouchOptions | Duration): Promise<boolean> {
    return this.#cache.touch(this.#full(key), life);
  }

  explain(key: string): Promise<Explanation> {
    return this.#cache.explain(this.#full(key));
  }

  ownerOf(key: string): string {
    return this.#cache.ownerOf(this.#full(key));
  }

  /** A namespace within this one. @throws InvalidOptionError */
  namespace(name: string): NamespacedCache {
    return new NamespacedCache(this.#cache, this.#prefix + namespacePrefix(name));
  }

  #unprefixed<T>(loader: Loader<T>): Loader<T> {
    return (context: LoadContext) => loader({ ...context, key: this.#short(context.key) });
  }

  #short(key: string): string {
    return key.slice(this.#prefix.length);
  }

  #fullAll(keys: string[]): string[] {
    return Array.isArray(keys) ? keys.map((key) => this.#full(key)) : keys;
  }

  /** What is no proper key stays what it is, so that it is refused as such: a prefix would make `users:` of ''. */
  #full(key: string): string {
    return typeof key === 'string' && key !== '' ? this.#prefix + key : key;
  }
}

/** What stands before the keys of a namespace. @throws InvalidOptionError */
export function namespacePrefix(name: unknown): string {
  if (typeof name === 'string' && NAME.test(name)) return `${name}:`;
  throw new InvalidOptionError('name', NAME_RULE, name);
}

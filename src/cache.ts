/**
 * RingCache: joins the rooms, and is what applications use.
 *
 * Checks what comes in, answers from memory what it can without waiting, and
 * hands the rest on. How keys are placed, loaded and stored is decided below.
 */
import { loadMany } from './cache/load-many.ts';
import { loadOne } from './cache/load-one.ts';
import { look } from './cache/look.ts';
import {
  type Explanation,
  type KeyedCache,
  NamespacedCache,
  namespacePrefix,
  type ValueInfo,
} from './cache/namespaced.ts';
import { RingChanges } from './cache/ring-changes.ts';
import { joinRooms, type Rooms } from './cache/rooms.ts';
import {
  explain,
  inspectNodes,
  type NodeReport,
  type Stats,
  statsOf,
  type TopologyStatus,
  topologyStatusOf,
} from './cache/status.ts';
import { systemClock } from './clock.ts';
import type { Duration } from './duration.ts';
import { ClosedError } from './errors.ts';
import type { CacheEvents } from './events.ts';
import { checkKey, checkKeys } from './keys.ts';
import type { BulkLoader } from './load/bulk.ts';
import type { Loader } from './load/runner.ts';
import {
  type EntryOptions,
  type EntrySettings,
  entrySettings,
  type TouchOptions,
  touchSettings,
} from './load/settings.ts';
import { checkTagsToDelete } from './load/tags.ts';
import type { Locks } from './lock/locks.ts';
import type { Memory } from './memory/memory.ts';
import type { CacheCounters } from './metrics/metrics.ts';
import type { PayloadCodec } from './node/codec.ts';
import type { ResolvedOptions } from './options.ts';

/**
 * A cache over several independent Redis servers, with a tier in this process.
 *
 * Reads never fail because of Redis: a node that cannot be used is a miss.
 * Writes say whether they were taken. Everything rejects with `ClosedError`
 * after `close()`, and with `InvalidKeyError`, `InvalidValueError` or
 * `InvalidOptionError` for bad input, before anything is sent or changed.
 */
export class RingCache extends RingChanges implements KeyedCache, AsyncDisposable {
  readonly #rooms: Rooms;
  readonly #memory: Memory;
  readonly #counters: CacheCounters;
  readonly #entry: EntrySettings;
  #closing: Promise<void> | undefined;

  private constructor(rooms: Rooms) {
    super(rooms, () => this.#checkOpen());
    this.#rooms = rooms;
    this.#memory = rooms.memory;
    this.#counters = rooms.counters;
    this.#entry = rooms.options.entry;
  }

  /** @internal */
  static async open(options: ResolvedOptions, codec: PayloadCodec): Promise<RingCache> {
    const rooms = await joinRooms(options, codec, systemClock);
    try {
      await rooms.topology.open();
    } catch (error) {
      await rooms.end();
      throw error;
    }
    return new RingCache(rooms);
  }

  /**
   * The value of `key`; on a miss, what `loader` returns, stored for all.
   *
   * However many callers ask at once, in however many processes, the loader
   * runs once as long as the owning node answers; without it, once in each
   * process. A `set` or `delete` that ran during the load wins: those who wait
   * get the loaded value, and it is not stored.
   *
   * @param loader May return `undefined`: returned and not stored. `null` is a value.
   * @throws What the loader throws, to all who wait; LoadTimeoutError; the reason of
   *   `options.signal`. Nothing is stored then.
   */
  getOrSet<T>(key: string, loader: Loader<T>, options?: EntryOptions): Promise<T> {
    // Hot path: nothing is checked, allocated or awaited before this.
    if (options === undefined || options.memory !== false) {
      const held = this.#memory.get(key);
      if (held !== undefined) {
        this.#counters.memoryHits++;
        return Promise.resolve(held as T);
      }
    }
    return this.#load(key, loader, options) as Promise<T>;
  }

  /**
   * The values of `keys`, in their order; all that is missing is loaded with
   * one call, and every key of it is protected as in `getOrSet`.
   *
   * @param loader Gets the missing keys; returns a Map by key or an array in their order.
   */
  async getOrSetMany<T>(
    keys: string[],
    loader: BulkLoader<T>,
    options?: EntryOptions,
  ): Promise<Array<T | undefined>> {
    this.#checkOpen();
    return (await loadMany(this.#rooms, keys, { loader, options })) as Array<T | undefined>;
  }

  /** The fresh value of `key`; undefined when there is none, or its node cannot be asked. */
  get<T>(key: string): Promise<T | undefined> {
    const held = this.#memory.get(key);
    if (held !== undefined) {
      this.#counters.memoryHits++;
      return Promise.resolve(held as T);
    }
    try {
      this.#checkOpen();
      checkKey(key);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#rooms.reads.get(key) as Promise<T | undefined>;
  }

  /** The same for many, in the order of `keys`: the nodes are asked side by side, in batches. */
  async getMany<T>(keys: string[]): Promise<Array<T | undefined>> {
    this.#checkOpen();
    checkKeys(keys);
    return (await this.#rooms.reads.getMany(keys)) as Array<T | undefined>;
  }

  /**
   * The value of `key` and what is known of it, also when it is stale; undefined
   * when there is none, or its node cannot be asked. Asks nobody when it is in memory.
   */
  async getWithInfo<T>(key: string): Promise<ValueInfo<T> | undefined> {
    this.#checkOpen();
    checkKey(key);
    return (await look(this.#rooms, key)) as ValueInfo<T> | undefined;
  }

  /** What this process holds in memory; asks nobody. */
  peek<T>(key: string): T | undefined {
    return this.#memory.get(key) as T | undefined;
  }

  /**
   * Stores a value; whatever is being loaded for this key is not stored.
   *
   * @returns False when its node did not take it: it could not be reached, or
   *   it is full. An older value is removed when the node is back.
   */
  async set(key: string, value: unknown, options?: EntryOptions): Promise<boolean> {
    this.#checkOpen();
    checkKey(key);
    const settings = entrySettings(this.#entry, options);
    options?.signal?.throwIfAborted();
    const { writes } = this.#rooms;
    return writes.set(writes.prepare(key, value), settings);
  }

  /** The same for many, in their order; all are checked before the first is sent. */
  async setMany(entries: Iterable<[string, unknown]>, options?: EntryOptions): Promise<boolean[]> {
    this.#checkOpen();
    const settings = entrySettings(this.#entry, options);
    options?.signal?.throwIfAborted();
    const { writes } = this.#rooms;
    const prepared = Array.from(entries, ([key, value]) => {
      checkKey(key);
      return writes.prepare(key, value);
    });
    return Promise.all(prepared.map((entry) => writes.set(entry, settings)));
  }

  /**
   * Removes a value, fresh or stale; whatever is being loaded for this key is
   * not stored.
   *
   * @returns True: no process reads the old value from its node again, and from
   *   its memory not longer than `memory.maxStale`; this process removed it, or
   *   one that reaches the node has. False: not confirmed; it is tried again in
   *   the background, for as long as a ttl.
   */
  async delete(key: string): Promise<boolean> {
    this.#checkOpen();
    checkKey(key);
    return this.#rooms.writes.delete(key);
  }

  /** The same for many, in their order. */
  async deleteMany(keys: string[]): Promise<boolean[]> {
    this.#checkOpen();
    checkKeys(keys);
    return Promise.all(keys.map((key) => this.#rooms.writes.delete(key)));
  }

  /**
   * Removes all values that were stored with one of these tags, whatever
   * their keys; what is being loaded meanwhile counts as one of before.
   *
   * @returns As `delete`, of all nodes.
   * @throws InvalidOptionError
   */
  async deleteByTag(tags: string | readonly string[]): Promise<boolean> {
    this.#checkOpen();
    const names = checkTagsToDelete(tags);
    return this.#rooms.tagDeletes.delete(names.map((name) => ({ kind: 'tag', name })));
  }

  /** Removes every value of the cache. As `deleteByTag`. Locks are not touched. */
  clear(): Promise<boolean> {
    return this.#clear('');
  }

  async #clear(prefix: string): Promise<boolean> {
    this.#checkOpen();
    return this.#rooms.tagDeletes.delete([{ kind: 'prefix', name: prefix }]);
  }

  /**
   * Makes a value stale: kept for its staleTtl from now, and served as that
   * allows; without one this is a delete. Whatever is being loaded for this key
   * is not stored.
   *
   * @returns As `delete`; after false the value is removed.
   */
  async expire(key: string): Promise<boolean> {
    this.#checkOpen();
    checkKey(key);
    return this.#rooms.writes.expire(key);
  }

  /**
   * Gives the value that is there, fresh or stale, a new life from now on.
   *
   * @param life Its ttl, or options; what is absent is taken from the cache.
   * @returns False: there is none, or its node did not confirm it.
   */
  async touch(key: string, life?: TouchOptions | Duration): Promise<boolean> {
    this.#checkOpen();
    checkKey(key);
    return this.#rooms.touches.touch(key, touchSettings(this.#entry, life));
  }

  /** Where a key is and what is there: for people, not for decisions. */
  async explain(key: string): Promise<Explanation> {
    this.#checkOpen();
    checkKey(key);
    return explain(key, this.#rooms);
  }

  /** The same cache with `name:` before every key. @throws InvalidOptionError */
  namespace(name: string): NamespacedCache {
    const clear = (prefix: string) => this.#clear(prefix);
    return new NamespacedCache({ cache: this, clear }, namespacePrefix(name));
  }

  get topology(): TopologyStatus {
    return topologyStatusOf(this.#rooms.topology);
  }

  /** The id of the node that owns `key`. @throws InvalidKeyError */
  ownerOf(key: string): string {
    checkKey(key);
    return this.#rooms.topology.snapshot.ring.owner(key);
  }

  /** Locks on the nodes of the cache, in its namespace. Cache nodes may evict them: see docs/locks.md. */
  get locks(): Locks {
    return this.#rooms.locks.service;
  }

  stats(): Stats {
    return statsOf(this.#rooms);
  }

  /**
   * What the servers say of themselves: memory, commands, keys, clients. A node
   * that does not answer is in the list with its state and no numbers.
   */
  async inspectNodes(): Promise<NodeReport[]> {
    this.#checkOpen();
    return inspectNodes(this.#rooms);
  }

  on<E extends keyof CacheEvents>(event: E, listener: (...args: CacheEvents[E]) => void): this {
    this.#rooms.events.on(event, listener);
    return this;
  }

  once<E extends keyof CacheEvents>(event: E, listener: (...args: CacheEvents[E]) => void): this {
    this.#rooms.events.once(event, listener);
    return this;
  }

  off<E extends keyof CacheEvents>(event: E, listener: (...args: CacheEvents[E]) => void): this {
    this.#rooms.events.off(event, listener);
    return this;
  }

  /**
   * Ends everything: callers that wait are rejected with `ClosedError`, and no
   * timer, socket or promise is left. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#rooms.loads.close(new ClosedError());
    await this.#rooms.end();
    // Only now: what was under way might have filled it again.
    this.#memory.clear();
  }

  #load(key: string, loader: Loader<unknown>, options?: EntryOptions): Promise<unknown> {
    try {
      this.#checkOpen();
      return loadOne(this.#rooms, key, { loader, options });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new ClosedError();
  }
}

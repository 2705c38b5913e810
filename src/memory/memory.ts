/**
 * The in-process tier: what this process has seen, bounded by entries and by
 * bytes, for a bounded time.
 *
 * Three things keep it from showing the past:
 *
 * A *ticket* is taken before a read or write is sent to a node, and is needed
 * to put its result here. Forgetting a key voids its tickets. Without it:
 *
 *     read k  → node                        (answer under way: the old value)
 *     delete k: forget k here, remove it there, done
 *     ← the answer of the read: old value put into memory, to stay
 *
 * Tickets are counters in a fixed table, by the hash of the key. Two keys that
 * share a counter cost each other at most one put; nothing is allocated and
 * nothing has to be cleaned up.
 *
 * A *lineage* joins all entries that came from one node, so that they can be
 * dropped together in O(1). When owners change, every lineage is succeeded by
 * a new one, and an entry moves over when it is next read, if its owner is
 * still the same.
 *
 * Nothing tells this process yet what other processes change, so an entry
 * lives for `maxStale` at most.
 */
import { LRUCache } from 'lru-cache';

export interface MemoryOptions {
  /** Most entries held; the least recently used goes first. Integer, 1 to 10,000,000. @default 10000 */
  maxEntries?: number;
  /** Most bytes of encoded values and keys held. Integer, 1 or more. @default 104857600 (100 MiB) */
  maxBytes?: number;
  /** Longest life of an entry, never longer than what is left of its own ttl. @default '1m' */
  ttl?: number | string;
  /**
   * Longest time for which a value that another process has changed may still
   * be read here. Bounds the life of an entry as well, because no message
   * announces such changes. @default '1s'
   */
  maxStale?: number | string;
  /**
   * Nobody shares an object: what is put in and what is handed out are copies
   * (structuredClone: classes are lost, a Buffer becomes a Uint8Array; what it
   * refuses goes through the codec). A load's callers get one each, too.
   * Costs a copy with every hit. Not together with `freeze`. @default false
   */
  clone?: boolean;
  /**
   * To find who changes what all share: plain objects and arrays are frozen,
   * deep, when they are put in, the value given to `set` or returned by a
   * loader itself. Others (classes, Map, Buffer) are left as they are. @default false
   */
  freeze?: boolean;
}

export const MEMORY_DEFAULTS = {
  maxEntries: 10_000,
  maxBytes: 104_857_600,
  ttl: '1m',
  maxStale: '1s',
  clone: false,
  freeze: false,
} as const satisfies Required<MemoryOptions>;

export interface MemoryTuning {
  readonly maxEntries: number;
  readonly maxBytes: number;
  readonly ttlMs: number;
  readonly maxStaleMs: number;
}

/** All entries of one node, between two changes of owners. */
interface Lineage {
  readonly node: string;
  /** How often the node's entries had been dropped when it began. */
  readonly generation: number;
  /** Whether its entries may be shown without another look. */
  standing: boolean;
}

interface Held {
  readonly value: unknown;
  lineage: Lineage;
  /** When it was put, whole milliseconds: how old it was, and for how long it was fresh still at its node. */
  readonly ageMs: number;
  readonly forMs: number;
}

/** A value, how old it is, and for how long it is fresh still at its node. */
export interface Look {
  readonly value: unknown;
  readonly ageMs: number;
  readonly freshForMs: number;
}

export interface Arrival {
  readonly node: string;
  readonly hash: number;
  readonly ticket: number;
  /** What is left of its life at the node. */
  readonly forMs: number;
  /** How old it is; absent when it is new. */
  readonly ageMs?: number;
  readonly bytes: number;
}

/** 256 KiB; at 20,000 writes/s a needless refusal for 0.03 % of 1 ms reads, and for 1 % of what one setMany of 1,000 stores. */
const TICKETS = 65_536;

export class Memory {
  readonly #entries: LRUCache<string, Held> | undefined;
  readonly #longestMs: number;
  readonly #tickets = new Uint32Array(TICKETS);
  readonly #lineages = new Map<string, Lineage>();
  readonly #generations = new Map<string, number>();
  #ownerOf: (key: string) => string = () => '';

  /** @param tuning False keeps nothing: every get misses. */
  constructor(tuning: MemoryTuning | false) {
    if (tuning === false) {
      this.#longestMs = 0;
      return;
    }
    this.#longestMs = Math.min(tuning.ttlMs, tuning.maxStaleMs);
    this.#entries = new LRUCache<string, Held>({
      max: tuning.maxEntries,
      maxSize: tuning.maxBytes,
      ttl: Math.max(1, Math.floor(this.#longestMs)),
    });
  }

  /** The value of `key`; undefined when it is not held. */
  get(key: string): unknown {
    const held = this.#entries?.get(key);
    if (held === undefined) return undefined;
    return held.lineage.standing ? held.value : this.#succeed(key, held);
  }

  /** What `get` answers, and what is known of it. */
  look(key: string): Look | undefined {
    const value = this.get(key);
    const status: LRUCache.Status<string, Held> = {};
    const held = this.#entries?.get(key, { status });
    if (value === undefined || held === undefined) return undefined;
    const hereMs = (status.now ?? 0) - (status.start ?? 0);
    return { value, ageMs: held.ageMs + hereMs, freshForMs: Math.max(0, held.forMs - hereMs) };
  }

  /** To be taken before the request is sent whose result is to be put here. */
  ticket(hash: number): number {
    return this.#tickets[hash & (TICKETS - 1)]!;
  }

  /** Holds `value`, unless the key was forgotten since the ticket was taken; says whether it does. */
  put(key: string, value: unknown, from: Arrival): boolean {
    const ttl = Math.floor(Math.min(from.forMs, this.#longestMs));
    // lru-cache takes 0 and NaN as "for ever".
    if (this.#entries === undefined || !(ttl >= 1)) return false;
    if (this.#tickets[from.hash & (TICKETS - 1)] !== from.ticket) return false;
    const { forMs, ageMs = 0 } = from;
    const held = {
      value,
      lineage: this.#lineage(from.node),
      ageMs: Math.round(ageMs),
      forMs: Math.floor(forMs),
    };
    this.#entries.set(key, held, { ttl, size: from.bytes + key.length });
    // What is larger than all of it is not held, and neither is what it replaces.
    return this.#entries.has(key);
  }

  /** Removes `key` and voids every ticket for it. */
  forget(key: string, hash: number): void {
    this.#entries?.delete(key);
    this.#tickets[hash & (TICKETS - 1)]!++;
  }

  /** Drops all that came from `node`, in O(1). */
  drop(node: string): void {
    this.#generations.set(node, this.#generation(node) + 1);
    const lineage = this.#lineages.get(node);
    if (lineage !== undefined) lineage.standing = false;
    this.#lineages.delete(node);
  }

  /** Owners have changed: an entry stays only if its node owns it still. O(nodes). */
  follow(ownerOf: (key: string) => string): void {
    this.#ownerOf = ownerOf;
    for (const lineage of this.#lineages.values()) lineage.standing = false;
    this.#lineages.clear();
    // An answer on its way was asked of an owner that may be one no more.
    for (let i = 0; i < TICKETS; i++) this.#tickets[i]!++;
  }

  size(): { entries: number; bytes: number } {
    return {
      entries: this.#entries?.size ?? 0,
      bytes: this.#entries?.calculatedSize ?? 0,
    };
  }

  clear(): void {
    this.#entries?.clear();
  }

  #succeed(key: string, held: Held): unknown {
    const { node, generation } = held.lineage;
    if (generation !== this.#generation(node) || this.#ownerOf(key) !== node) {
      this.#entries?.delete(key);
      return undefined;
    }
    held.lineage = this.#lineage(node);
    return held.value;
  }

  #lineage(node: string): Lineage {
    let lineage = this.#lineages.get(node);
    if (lineage === undefined) {
      lineage = { node, generation: this.#generation(node), standing: true };
      this.#lineages.set(node, lineage);
    }
    return lineage;
  }

  #generation(node: string): number {
    return this.#generations.get(node) ?? 0;
  }
}

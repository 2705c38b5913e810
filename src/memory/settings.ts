/** What the memory of a process is allowed to hold, for how long, and who may have it twice. */

export interface MemoryOptions {
  /** Most entries held; the least recently used goes first. Integer, 1 to 10,000,000. @default 10000 */
  maxEntries?: number;
  /** Most bytes of encoded values and keys held. Integer, 1 or more. @default 104857600 (100 MiB) */
  maxBytes?: number;
  /** Longest life of an entry, never longer than what is left of its own ttl. @default '1m' */
  ttl?: number | string;
  /**
   * Longest time for which a value that another process has changed may still
   * be read here. Such changes are told at once, normally; this is for when the
   * telling fails. Bounds the life of an entry as well where a node does not
   * tell (`stats().nodes[id].tracked`). @default '1s'
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

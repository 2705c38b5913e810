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
 * *Trust* bounds how late news may be. A node that is tracked tells of every
 * change, and up to when it has told: what came from it is shown for `maxStale`
 * after that moment, and not for longer, until it is heard from again. Of a
 * node that is not tracked nothing is heard, so each of its entries lives for
 * `maxStale` at most.
 *
 * What this process *wrote itself* is told to it, too, and nothing says whose
 * write was told. One telling is therefore put up with for each own write. Two
 * writes of one key in the same cycle of the server are told as one, so such an
 * entry lives for `maxStale` at most: the next read finds what is there.
 *
 * Time is looked at once in a turn of the event loop, and after so many reads:
 * a look costs twice as much as a hit.
 */

import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import type { MemoryTuning } from './settings.ts';

/** A node, as far as its entries are concerned. */
interface Source {
  readonly node: string;
  /** How often its entries were dropped. */
  generation: number;
  /** Until when what is here may be shown, if it tells of changes; undefined: it does not. */
  trustedUntil: number | undefined;
  lineage: Lineage | undefined;
}

/** All entries of one node, between two changes of owners. */
interface Lineage {
  readonly source: Source;
  /** That of the source when it began. */
  readonly generation: number;
  /** How often owners had changed when it began. */
  readonly era: number;
  /** Until when its entries may be shown; undefined: each has a life of its own. */
  trustedUntil: number | undefined;
  /** Whether its entries may be shown without another look. */
  standing: boolean;
}

/** A write of this process that is under way, or was just now. */
export interface OwnWrite {
  readonly key: string;
  /** How often a change of the key was told since. */
  told: number;
  /** Whether the key was forgotten since, or nobody knows what was told. */
  void: boolean;
}

interface Held {
  readonly value: unknown;
  lineage: Lineage;
  /** Whether a write of our own is to be told still. */
  ownUntold: boolean;
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
  /** Taken before it was asked for; or our own write of it. */
  readonly ticket: number | OwnWrite;
  /** What is left of its life at the node. */
  readonly forMs: number;
  /** How long ago the node was asked, or the load began. */
  readonly agedMs: number;
  /** Whether the node does not have it, so that it tells nothing of a delete. */
  readonly notAtNode?: boolean;
  /** How old the value is; absent when it is new. */
  readonly valueAgeMs?: number | undefined;
  readonly bytes: number;
}

/** 256 KiB; at 20,000 writes/s a needless refusal for 0.03 % of 1 ms reads, and for 1 % of what one setMany of 1,000 stores. */
const TICKETS = 65_536;
/** Changes of owners after which an entry that was not read since is not shown any more. */
const MAX_ERAS = 8;
/** Reads between two looks at the time, within one turn of the event loop. */
const READS_A_LOOK = 16;

export class Memory {
  readonly #entries: LRUCache<string, Held> | undefined;
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #maxStaleMs: number;
  readonly #tickets = new Uint32Array(TICKETS);
  readonly #sources = new Map<string, Source>();
  /** Of nodes that tell nothing any more, until their trust ends. */
  #fading: Lineage[] = [];
  readonly #writes = new Set<OwnWrite>();
  readonly #writing = new Map<string, OwnWrite>();
  /** Who owned a key after each of the last changes of owners. */
  readonly #owners: ((key: string) => string)[] = [];
  #era = 0;
  #floors: Readonly<Record<string, number>> = {};
  /** The time when it was last looked at. */
  #now: number;
  /** Reads left until the next look. */
  #unlooked = 0;
  /** Whether the end of this turn brings the next look. */
  #inTurn = false;
  /** When the first lineage that stands ceases to. */
  #standUntil = Number.POSITIVE_INFINITY;

  /** @param tuning False keeps nothing: every get misses. */
  constructor(tuning: MemoryTuning | false, clock: Clock) {
    this.#clock = clock;
    this.#now = clock.now();
    this.#ttlMs = tuning === false ? 0 : tuning.ttlMs;
    this.#maxStaleMs = tuning === false ? 0 : tuning.maxStaleMs;
    if (tuning === false) return;
    this.#entries = new LRUCache<string, Held>({
      max: tuning.maxEntries,
      maxSize: tuning.maxBytes,
      ttl: Math.max(1, Math.floor(this.#ttlMs)),
      perf: { now: () => this.#now },
      ttlResolution: 0,
    });
  }

  /** The value of `key`; undefined when it is not held. */
  get(key: string): unknown {
    if (--this.#unlooked < 0) this.#look();
    const held = this.#entries?.get(key);
    if (held === undefined) return undefined;
    return held.lineage.standing ? held.value : this.#succeed(key, held);
  }

  /** What `get` answers, and what is known of it. */
  lookAt(key: string): Look | undefined {
    this.#look();
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

  /** A write of our own begins: to be called before it is sent, and ended with `wrote`. */
  writes(key: string): OwnWrite {
    const write: OwnWrite = { key, told: 0, void: false };
    // Of two at once nobody knows which is the last.
    const other = this.#writing.get(key);
    if (other !== undefined) {
      other.void = true;
      write.void = true;
    }
    this.#writing.set(key, write);
    this.#writes.add(write);
    return write;
  }

  /** It is over, and what it wrote was put here, if it is to be. */
  wrote(write: OwnWrite): void {
    this.#writes.delete(write);
    if (this.#writing.get(write.key) === write) this.#writing.delete(write.key);
  }

  /** Holds `value`, unless the key was forgotten since the ticket was taken; says whether it does. */
  put(key: string, value: unknown, from: Arrival): boolean {
    if (this.#entries === undefined || !this.#stands(from)) return false;
    this.#look();
    const lineage = this.#lineage(this.#source(from.node));
    const own = typeof from.ticket === 'object' ? from.ticket : undefined;
    const mayBeUntold = own !== undefined || from.notAtNode || lineage.trustedUntil === undefined;
    const boundMs = mayBeUntold ? this.#maxStaleMs - from.agedMs : this.#ttlMs;
    const ttl = Math.floor(Math.min(from.forMs, this.#ttlMs, boundMs));
    // lru-cache takes 0 and NaN as "for ever".
    if (!(ttl >= 1)) return false;
    const held: Held = {
      value,
      lineage,
      ownUntold: own?.told === 0 && lineage.trustedUntil !== undefined,
      ageMs: Math.round(from.valueAgeMs ?? 0),
      forMs: Math.floor(from.forMs),
    };
    this.#entries.set(key, held, { ttl, size: from.bytes + key.length });
    // What is larger than all of it is not held, and neither is what it replaces.
    return this.#entries.has(key);
  }

  #stands({ hash, ticket }: Arrival): boolean {
    if (typeof ticket === 'number') return this.#tickets[hash & (TICKETS - 1)] === ticket;
    return !ticket.void && ticket.told <= 1;
  }

  /** Removes `key` and voids every ticket for it. */
  forget(key: string, hash: number): void {
    const write = this.#writing.get(key);
    if (write !== undefined) write.void = true;
    this.#entries?.delete(key);
    this.#tickets[hash & (TICKETS - 1)]!++;
  }

  /** A node has told that the value of `key` is another one: as `forget`, unless it may be by our own write. */
  told(key: string, hash: number): void {
    const write = this.#writing.get(key);
    if (write !== undefined) write.told++;
    const held = this.#entries?.peek(key);
    if (held?.ownUntold === true) held.ownUntold = false;
    else this.#entries?.delete(key);
    this.#tickets[hash & (TICKETS - 1)]!++;
  }

  /** Drops all that came from `node`, in O(1), and what is on its way here. */
  drop(node: string): void {
    const source = this.#source(node);
    source.generation++;
    this.#end(source);
    this.#fading = this.#fading.filter((lineage) => {
      if (lineage.source === source) lineage.standing = false;
      return lineage.standing;
    });
    this.#voidTickets();
  }

  /** A node tells of changes from now on: what was before may have changed unseen. */
  track(node: string): void {
    this.drop(node);
    this.#source(node).trustedUntil = Number.NEGATIVE_INFINITY;
  }

  /** It does not any more. What it has told so far is good until the trust in it ends. */
  untrack(node: string): void {
    const source = this.#source(node);
    if (source.lineage?.standing === true) this.#fading.push(source.lineage);
    source.generation++;
    source.trustedUntil = undefined;
    source.lineage = undefined;
    this.#voidTickets();
  }

  /** A tracked node has told all that was changed before `at`. */
  heard(node: string, at: number): void {
    const source = this.#source(node);
    source.trustedUntil = at + this.#maxStaleMs;
    const { lineage } = source;
    if (lineage === undefined) return;
    lineage.trustedUntil = source.trustedUntil;
    lineage.standing = this.#clock.now() < source.trustedUntil;
    this.#judgeTrust(this.#clock.now());
  }

  /**
   * Owners have changed: an entry stays only if its node owns it still, and is believed still. O(nodes).
   *
   * @param floors For each node, a number that has risen when what it had before is not believed any more.
   */
  follow(ownerOf: (key: string) => string, floors: Readonly<Record<string, number>> = {}): void {
    for (const [node, floor] of Object.entries(floors)) {
      if (floor > (this.#floors[node] ?? 0)) this.#source(node).generation++;
    }
    this.#floors = floors;
    this.#era++;
    this.#owners.push(ownerOf);
    if (this.#owners.length > MAX_ERAS) this.#owners.shift();
    for (const source of this.#sources.values()) this.#end(source);
    for (const lineage of this.#fading.splice(0)) lineage.standing = false;
    // An answer on its way was asked of an owner that may be one no more.
    this.#voidTickets();
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

  #voidTickets(): void {
    for (let i = 0; i < TICKETS; i++) this.#tickets[i]!++;
    for (const write of this.#writes) write.void = true;
  }

  #look(): void {
    this.#now = this.#clock.now();
    this.#unlooked = READS_A_LOOK - 1;
    if (!this.#inTurn) {
      this.#inTurn = true;
      this.#clock.soon(() => {
        this.#inTurn = false;
        this.#unlooked = 0;
      });
    }
    if (this.#now >= this.#standUntil) this.#judgeTrust(this.#now);
  }

  #judgeTrust(now: number): void {
    this.#standUntil = Number.POSITIVE_INFINITY;
    const judge = (lineage: Lineage | undefined): void => {
      if (lineage?.standing !== true || lineage.trustedUntil === undefined) return;
      if (now >= lineage.trustedUntil) lineage.standing = false;
      else this.#standUntil = Math.min(this.#standUntil, lineage.trustedUntil);
    };
    for (const { lineage } of this.#sources.values()) judge(lineage);
    for (const lineage of this.#fading) judge(lineage);
    this.#fading = this.#fading.filter(({ standing }) => standing);
  }

  #succeed(key: string, held: Held): unknown {
    const { source, generation } = held.lineage;
    // Not heard from for too long; it may be again.
    if (source.lineage === held.lineage) return undefined;
    if (generation !== source.generation || !this.#ownedSince(held.lineage, key)) {
      this.#entries?.delete(key);
      return undefined;
    }
    held.lineage = this.#lineage(source);
    return held.lineage.standing ? held.value : undefined;
  }

  /** Whether its node has owned the key ever since: another one may have changed it unseen. */
  #ownedSince({ era, source }: Lineage, key: string): boolean {
    const changes = this.#era - era;
    if (changes > this.#owners.length) return false;
    return this.#owners.slice(-changes).every((ownerOf) => ownerOf(key) === source.node);
  }

  #source(node: string): Source {
    let source = this.#sources.get(node);
    if (source === undefined) {
      source = { node, generation: 0, trustedUntil: undefined, lineage: undefined };
      this.#sources.set(node, source);
    }
    return source;
  }

  #lineage(source: Source): Lineage {
    if (source.lineage === undefined) {
      const { generation, trustedUntil } = source;
      const standing = trustedUntil === undefined || this.#now < trustedUntil;
      source.lineage = { source, generation, era: this.#era, trustedUntil, standing };
      if (standing) {
        this.#standUntil = Math.min(this.#standUntil, trustedUntil ?? this.#standUntil);
      }
    }
    return source.lineage;
  }

  #end(source: Source): void {
    if (source.lineage !== undefined) source.lineage.standing = false;
    source.lineage = undefined;
  }
}

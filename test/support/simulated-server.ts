/**
 * A cache node's server without Redis: what several simulated processes share.
 *
 * Like Redis, as far as the contract of `CacheNode` goes: fences, leases that
 * expire, values that expire, a full server, a restart that forgets everything.
 * Each method is one script: it acts in one step.
 */
import type { Clock } from '../../src/clock.ts';
import { PayloadCodec } from '../../src/node/codec.ts';
import { epochOf } from '../../src/node/fence.ts';
import type { NoteAnswer, NoteAsk, Notes, NotesAnswer } from '../../src/node/guard-node.ts';
import type { ExpireAnswer, TouchAnswer, TouchAsk } from '../../src/node/life-node.ts';
import {
  type CopyAnswer,
  type Fenced,
  type FillAnswer,
  type Greeting,
  type Inspection,
  type LeaseAnswer,
  type Life,
  type Payload,
  type RemoveAnswer,
  type ScanStep,
  type Stored,
  UNKNOWN_EPOCH,
  type WriteAnswer,
} from '../../src/node/node.ts';
import { newestOf, type Sequence } from '../../src/node/sequence.ts';
import { SimulatedLocks } from './simulated-locks.ts';
import { type Found, ServerTags } from './simulated-tags.ts';

interface Entry {
  readonly payload: Payload;
  readonly stamp: number;
  readonly freshUntil: number;
  readonly keepUntil: number;
  readonly loadMs: number;
  readonly writtenAt: number;
  readonly tags: readonly string[] | undefined;
  readonly seq: number;
}

interface Sealed {
  readonly payload: Payload;
  readonly life: Life;
  readonly epoch: number;
  readonly seq: number;
}

const codec = new PayloadCodec();
const NO_TOPOLOGY = { fence: undefined, document: undefined, servedRun: undefined };

/** What one server holds, and its scripts: each method acts in one step. */
export class SimulatedServer {
  readonly id: string;
  readonly clock: Clock;
  fence: string | undefined;
  document: string | undefined;
  /** The run under which its data was admitted. */
  servedRun: string | undefined;
  /** Changes with every restart. */
  run = 1;
  /** Fills and writes are refused; all else goes on. */
  full = false;
  /** For each other node: the keys it missed, and the mark of each. */
  readonly notes = new Map<string, Map<string, string>>();
  readonly #values = new Map<string, Entry>();
  readonly #leases = new Map<string, { readonly token: string; readonly until: number }>();

  #saved: Pick<SimulatedServer, 'fence' | 'document' | 'servedRun'> & {
    readonly values: ReadonlyMap<string, Entry>;
    readonly leases: ReadonlyMap<string, { readonly token: string; readonly until: number }>;
    readonly tags: ServerTags['state'];
  } = { ...NO_TOPOLOGY, values: new Map(), leases: new Map(), tags: undefined };

  announced: string | undefined;
  readonly locks: SimulatedLocks;
  readonly tags: ServerTags;

  constructor(id: string, clock: Clock) {
    this.id = id;
    this.clock = clock;
    this.tags = new ServerTags(clock);
    this.locks = new SimulatedLocks(this);
  }

  /** Another process with nothing in it, on the same address. */
  restart(): void {
    this.run++;
    this.fence = undefined;
    this.document = undefined;
    this.notes.clear();
    this.servedRun = undefined;
    this.#values.clear();
    this.#leases.clear();
    this.tags.state = undefined;
    this.locks.wipe();
  }

  /** Everything but locks, for a later restart. */
  save(): void {
    const { fence, document, servedRun } = this;
    const [values, leases] = [new Map(this.#values), new Map(this.#leases)];
    this.#saved = { fence, document, servedRun, values, leases, tags: this.tags.state };
  }

  /** Another process, with what was saved last. */
  restartFromSaved(): void {
    const { fence, document, servedRun, values, leases, tags } = this.#saved;
    this.restart();
    Object.assign(this, { fence, document, servedRun });
    this.tags.state = tags;
    for (const [key, entry] of values) this.#values.set(key, entry);
    for (const [key, lease] of leases) this.#leases.set(key, lease);
  }

  /** Another process with all that this one has now, as one that was restored from a snapshot just taken. */
  restartAsItIs(): void {
    this.run++;
  }

  /** As if the server had chosen it for eviction. */
  evict(key: string): void {
    this.#values.delete(key);
  }

  evictLease(key: string): void {
    this.#leases.delete(key);
  }

  get keys(): string[] {
    const keys = [...this.#values.keys()].filter((key) => this.#entry(key) !== undefined);
    return keys.sort((a, b) => (a < b ? -1 : 1));
  }

  get leased(): string[] {
    const keys = [...this.#leases.keys()].filter((key) => this.#lease(key) !== undefined);
    return keys.sort((a, b) => (a < b ? -1 : 1));
  }

  get size(): number {
    return this.#values.size + this.#leases.size + (this.fence === undefined ? 0 : 2);
  }

  /** As every answer brings it along. */
  get sequence(): Sequence {
    return this.tags.sequence;
  }

  epoch(): number {
    return this.fence === undefined ? UNKNOWN_EPOCH : epochOf(this.fence);
  }

  /** What stands under `key`, as a reader sees it. */
  stored(key: string): Found | undefined {
    const entry = this.#entry(key);
    if (entry === undefined) return undefined;
    const { payload, stamp, freshUntil, loadMs, writtenAt, tags, seq } = entry;
    return {
      value: codec.decode(payload.codec, payload.flags, payload.bytes),
      stamp,
      freshUntil,
      freshForMs: freshUntil - this.clock.now(),
      loadMs,
      writtenAt,
      seq,
      tags,
      overtaken: false,
      bytes: payload.bytes.length,
    };
  }

  lease(
    key: string,
    ask: { token: string; leaseMs: number; fence: string; seen?: Stored | undefined },
  ): LeaseAnswer {
    const fenced = this.fencedBy(ask.fence);
    if (fenced !== undefined) return fenced;
    const stored = this.stored(key);
    const { seen } = ask;
    if (
      stored !== undefined &&
      (stored.stamp !== seen?.stamp || stored.freshUntil !== seen.freshUntil)
    ) {
      return { kind: 'value', stored };
    }
    const held = this.#lease(key);
    if (held !== undefined && held.token !== ask.token) {
      return { kind: 'busy', remainingMs: Math.max(1, held.until - this.clock.now()) };
    }
    if (held === undefined) {
      this.#leases.set(key, { token: ask.token, until: this.clock.now() + ask.leaseMs });
    }
    return { kind: 'leased', seq: newestOf(this.tags.sequence) };
  }

  extendLease(key: string, ask: { token: string; leaseMs: number }): boolean {
    if (!this.holdsLease(key, ask.token)) return false;
    this.#leases.set(key, { token: ask.token, until: this.clock.now() + ask.leaseMs });
    return true;
  }

  dropLease(key: string, token: string): void {
    if (this.#lease(key)?.token === token) this.#leases.delete(key);
  }

  fill(key: string, entry: Sealed & { token: string; fence: string }): FillAnswer {
    const fenced = this.fencedBy(entry.fence);
    if (fenced !== undefined) return fenced;
    if (!this.holdsLease(key, entry.token)) return { kind: 'lost' };
    this.#leases.delete(key);
    if (this.full) return { kind: 'refused' };
    this.#store(key, entry);
    return { kind: 'stored' };
  }

  write(key: string, entry: Omit<Sealed, 'seq'> & { fence: string }): WriteAnswer {
    const fenced = this.fencedBy(entry.fence);
    if (fenced !== undefined) return fenced;
    this.#leases.delete(key);
    if (this.full) {
      this.#values.delete(key);
      return { kind: 'refused' };
    }
    this.#store(key, { ...entry, seq: newestOf(this.tags.sequence) });
    return { kind: 'stored' };
  }

  remove(key: string, fence: string): RemoveAnswer {
    const fenced = this.fencedBy(fence);
    if (fenced !== undefined) return fenced;
    const existed = this.#entry(key) !== undefined;
    this.removeAnyway(key);
    return { kind: 'removed', existed };
  }

  /** Whatever the epoch: a delete is right under each. */
  removeAnyway(key: string): void {
    this.#leases.delete(key);
    this.#values.delete(key);
  }

  expire(key: string, fence: string): ExpireAnswer {
    const fenced = this.fencedBy(fence);
    if (fenced !== undefined) return fenced;
    this.#leases.delete(key);
    const entry = this.#entry(key);
    const now = this.clock.now();
    if (entry !== undefined && entry.freshUntil > now) {
      const keepUntil = entry.keepUntil - (entry.freshUntil - now);
      this.#values.set(key, { ...entry, freshUntil: now, keepUntil });
    }
    return { kind: 'expired' };
  }

  touch(key: string, { life, since, fence }: TouchAsk): TouchAnswer {
    const fenced = this.fencedBy(fence);
    if (fenced !== undefined) return fenced;
    const entry = this.#entry(key);
    if (entry === undefined || entry.stamp < since) return { kind: 'absent' };
    const freshUntil = this.clock.now() + life.ttlMs;
    this.#values.set(key, { ...entry, freshUntil, keepUntil: freshUntil + life.staleMs });
    return { kind: 'touched' };
  }

  note(node: string, { keys, mark, fence }: NoteAsk): NoteAnswer {
    const fenced = this.fencedBy(fence);
    if (fenced !== undefined) return fenced;
    const list = this.notes.get(node) ?? new Map<string, string>();
    for (const key of keys) list.set(key, mark);
    this.notes.set(node, list);
    return { kind: 'noted' };
  }

  notesFor(node: string, epoch: number): NotesAnswer {
    if (this.fence === undefined) return { kind: 'unknown' };
    if (this.epoch() > epoch) return { kind: 'newer', document: this.document };
    return { kind: 'notes', notes: new Map(this.notes.get(node)) };
  }

  takeOff(node: string, notes: Notes): void {
    const list = this.notes.get(node);
    for (const [key, mark] of notes) if (list?.get(key) === mark) list.delete(key);
  }

  copy(key: string, fence: string): CopyAnswer {
    const fenced = this.fencedBy(fence);
    if (fenced !== undefined) return fenced;
    const entry = this.#entry(key);
    const stored = this.stored(key);
    const { leaseLeftMs } = this.inspect(key);
    if (entry === undefined || stored === undefined) return { kind: 'none', leaseLeftMs };
    const ttlMs = Math.max(0, stored.freshForMs);
    const staleMs = entry.keepUntil - this.clock.now() - ttlMs;
    const { loadMs, tags, writtenAt } = entry;
    const life = { ttlMs, staleMs, loadMs, ageMs: this.clock.now() - writtenAt, tags };
    return { kind: 'value', stored, payload: entry.payload, life, leaseLeftMs };
  }

  inspect(key: string): Inspection {
    const leaseLeftMs = Math.max(0, (this.#lease(key)?.until ?? 0) - this.clock.now());
    return {
      stored: this.stored(key),
      leftMs: Math.max(0, (this.#entry(key)?.keepUntil ?? 0) - this.clock.now()),
      leased: leaseLeftMs > 0,
      leaseLeftMs,
    };
  }

  /** Whoever is there from the first step to the last is met, whatever else comes and goes. */
  scan(cursor: string, { of, count }: ScanStep): { cursor: string; keys: string[] } {
    const after = cursor === '0' ? '' : cursor.slice(1);
    const all = of === 'values' ? this.keys : this.leased;
    const rest = all.filter((key) => key > after);
    const keys = rest.slice(0, count);
    return { cursor: keys.length < rest.length ? `@${keys.at(-1)}` : '0', keys };
  }

  greeting(): Greeting {
    const { servedRun, fence, document, announced } = this;
    const askedAt = this.clock.now();
    return { askedAt, runId: this.runId, servedRun, fence, document, announced };
  }

  get runId(): string {
    return `run-${this.run}`;
  }

  /** @param first Whoever admits it may give it its first fence. */
  install(fence: string, document: string, first = false): { kind: 'installed' } | Fenced {
    if (this.fence === undefined && !first) return { kind: 'unknown' };
    if (this.fence !== undefined && this.fence !== fence && this.epoch() >= epochOf(fence)) {
      return { kind: 'stale' };
    }
    this.fence = fence;
    this.document = document;
    if (this.servedRun !== this.runId) this.tags.begin();
    this.servedRun = this.runId;
    return { kind: 'installed' };
  }

  /** Overridden by a test that wants to see what happens without the comparison. */
  protected holdsLease(key: string, token: string): boolean {
    return this.#lease(key)?.token === token;
  }

  #store(key: string, { payload, life, epoch, seq }: Sealed): void {
    const now = this.clock.now();
    const { ttlMs, staleMs, loadMs, ageMs = 0, tags } = life;
    this.#values.set(key, {
      payload,
      stamp: epoch,
      freshUntil: now + ttlMs,
      keepUntil: now + ttlMs + staleMs,
      loadMs,
      writtenAt: now - ageMs,
      tags,
      seq,
    });
  }

  fencedBy(fence: string): Fenced | undefined {
    if (this.fence === undefined) return { kind: 'unknown' };
    if (this.fence === fence) return undefined;
    if (this.epoch() >= epochOf(fence)) return { kind: 'stale' };
    this.fence = fence;
    return undefined;
  }

  #entry(key: string): Entry | undefined {
    const entry = this.#values.get(key);
    return entry !== undefined && entry.keepUntil > this.clock.now() ? entry : undefined;
  }

  #lease(key: string): { readonly token: string; readonly until: number } | undefined {
    const lease = this.#leases.get(key);
    return lease !== undefined && lease.until > this.clock.now() ? lease : undefined;
  }
}

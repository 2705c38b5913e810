/**
 * Sets, deletes, and what ends or lengthens a life.
 *
 * Their effect in this process comes first, so that it never reads its own
 * past; then the node, in one script that removes the lease as well, so that
 * whatever is being loaded meanwhile is not stored. While the ring changes:
 * the previous owner first, then the present one, one after the other, and a
 * set at both, so that nobody finds nothing in between. The
 * other way round, or both at once, a read in between copies the old value
 * over (0.6 to 0.9 % of adversarial schedules).
 */
import { type Clock, within } from '../clock.ts';
import { NodeUnavailableError } from '../errors.ts';
import type { Memory } from '../memory/memory.ts';
import type { CacheCounters } from '../metrics/metrics.ts';
import type { CacheNode, Life, Payload } from '../node/node.ts';
import type { Snapshot } from '../topology/snapshot.ts';
import type { Topology } from '../topology/topology.ts';
import { inTime, SETTLE_ROUNDS } from './in-time.ts';
import type { Loader } from './loader.ts';
import { type EntrySettings, type LoadTuning, lifeOf } from './settings.ts';

export interface WritesParts {
  readonly clock: Clock;
  readonly tuning: Pick<LoadTuning, 'nodeTimeoutMs'>;
  readonly topology: Topology;
  readonly memory: Memory;
  readonly loader: Loader;
  readonly counters: CacheCounters;
  readonly encode: (value: unknown) => Payload;
  /** The longest life of an entry that options give by default. */
  readonly longestMs: number;
  /** A key whose old value could not be removed from its node yet. Must not throw. */
  readonly unconfirmed: (key: string, node: string) => void;
}

/** A value that is known to be storable. */
export interface Prepared {
  readonly key: string;
  readonly value: unknown;
  readonly payload: Payload;
}

type Act =
  | { kind: 'remove' }
  | { kind: 'expire' }
  | { kind: 'write'; payload: Payload; life: Life };

/** A write that came to an end at a node that did not do it; those before it have. */
interface Failure {
  readonly failed: CacheNode;
  readonly snapshot: Snapshot;
}

/** A node's time that a write may take: for the attempt, for the note that it failed, and for one more. */
const ATTEMPTS = 3;

export class Writes {
  readonly #parts: WritesParts;
  readonly #bound: Parameters<typeof inTime>[2];
  #longestMs: number;

  constructor(parts: WritesParts) {
    this.#parts = parts;
    this.#bound = { clock: parts.clock, nodeTimeoutMs: parts.tuning.nodeTimeoutMs };
    this.#longestMs = parts.longestMs;
  }

  /** The longest life of an entry that is known of. */
  get longestMs(): number {
    return this.#longestMs;
  }

  /** A value was given a life of so many milliseconds: what is noted of a delete is kept for as long. */
  lived(ms: number): void {
    this.#longestMs = Math.max(this.#longestMs, ms);
  }

  /** @throws InvalidValueError, before anything is changed. */
  prepare(key: string, value: unknown): Prepared {
    return { key, value, payload: this.#parts.encode(value) };
  }

  /** Whether the owner took it. If not, an older value is removed when the owner is back. */
  async set({ key, value, payload }: Prepared, settings: EntrySettings): Promise<boolean> {
    const { clock, counters, memory, topology } = this.#parts;
    counters.sets++;
    const startedAt = clock.now();
    const life = lifeOf(settings, value, { loadMs: 0 });
    this.lived(life.ttlMs + life.staleMs);
    this.#forget(key);
    const { snapshot } = topology;
    const hash = snapshot.ring.hash(key);
    const owner = snapshot.owner(hash);
    // As of now: it counts as begun when the node takes it, which is not earlier.
    const { sequence: seq } = owner.tags;
    const own = memory.writes(key);
    const outcome = await this.#apply(key, { kind: 'write', payload, life });
    memory.wrote(own);
    if (outcome === 'refused') return false;
    if (outcome !== 'done') {
      // Not stored by a second try: a set or delete that was called after this
      // one may have acted between. What it was to replace is removed.
      await this.#makeUp(key, outcome, startedAt);
      return false;
    }
    const stays = topology.snapshot.owner(hash) === owner;
    const holding = stays ? owner.tags.holding(key, { seq, tags: life.tags }) : undefined;
    const bytes = payload.bytes.length;
    const agedMs = clock.now() - startedAt;
    const times = { forMs: life.ttlMs - agedMs, agedMs, valueAgeMs: agedMs };
    const arrival = { ...holding, ...times, node: owner.id, hash, ticket: own, bytes };
    const held = settings.memory && holding !== undefined && memory.put(key, value, arrival);
    // A read that the node answered before this write may have put the older
    // value into memory meanwhile.
    if (!held) this.#forget(key);
    return true;
  }

  /**
   * Whether it is removed: every node concerned confirmed it, or another process
   * has done it there. If not, it goes on in the background, for as long as a ttl.
   */
  delete(key: string): Promise<boolean> {
    this.#parts.counters.deletes++;
    return this.#end(key, 'remove');
  }

  /**
   * The same for the freshness of a value. What does not confirm it has the value
   * removed by others or later, as after a delete: nothing else is safe to do late.
   */
  expire(key: string): Promise<boolean> {
    this.#parts.counters.expires++;
    return this.#end(key, 'expire');
  }

  async #end(key: string, kind: 'remove' | 'expire'): Promise<boolean> {
    const startedAt = this.#parts.clock.now();
    this.#forget(key);
    const outcome = await this.#apply(key, { kind });
    if (outcome === 'done') return true;
    if (outcome === 'refused') return false;
    return this.#makeUp(key, outcome, startedAt);
  }

  /** A node has removed what it could not before: while the ring changes, the other owner comes after it. */
  confirmed(key: string, node: string): void {
    const { topology } = this.#parts;
    this.#forget(key);
    topology.missed.confirmed(node);
    if (topology.snapshot.source === undefined) return;
    this.#apply(key, { kind: 'remove' }).catch(() => {});
  }

  async #apply(key: string, act: Act): Promise<'done' | 'refused' | Failure> {
    const { topology } = this.#parts;
    for (let round = 0; ; round++) {
      const { snapshot } = topology;
      const hash = snapshot.ring.hash(key);
      const owner = snapshot.owner(hash);
      let node = snapshot.previousOwner(hash) ?? owner;
      const { fence, epoch } = snapshot;
      try {
        const actAt = async (at: CacheNode): Promise<{ kind: string }> => {
          const connecting = topology.connecting(at);
          if (connecting !== undefined) await inTime(connecting, at, this.#bound);
          if (act.kind === 'remove') return at.remove(key, fence);
          if (act.kind === 'expire') return at.life.expire(key, fence);
          return at.write(key, { payload: act.payload, life: act.life, fence, epoch });
        };
        let answer = await actAt(node);
        if (node !== owner && answer.kind !== 'stale' && answer.kind !== 'unknown') {
          node = owner;
          answer = await actAt(owner);
        }
        // Reads that began before the node acted may have put the old value here.
        this.#forget(key, act.kind === 'write');
        if (answer.kind === 'refused') return 'refused';
        if (answer.kind !== 'stale' && answer.kind !== 'unknown') return 'done';
        if (round >= SETTLE_ROUNDS) return { failed: node, snapshot };
        const news = answer.kind === 'unknown' ? node.readmit() : topology.refresh(snapshot);
        await inTime(news, node, this.#bound);
      } catch (error) {
        if (!(error instanceof NodeUnavailableError)) throw error;
        this.#forget(key);
        return { failed: node, snapshot };
      }
    }
  }

  /**
   * What could not be removed is noted for every process, then tried once
   * more; only then it is left for later. Resolves to whether it is removed, by
   * us or by another process that was told of the note.
   */
  async #makeUp(key: string, from: Failure, startedAt: number): Promise<boolean> {
    const { clock, tuning, topology } = this.#parts;
    const leftMs = (): number => startedAt + ATTEMPTS * tuning.nodeTimeoutMs - clock.now();
    const { fence } = from.snapshot;
    const relay = topology.missed.relays.expect({ node: from.failed.id, key, fence });
    let { failed } = from;
    const again = async (): Promise<'done' | 'refused' | 'relayed' | 'failed'> => {
      const heard = await this.#note(key, from.failed);
      const outcome = await this.#apply(key, { kind: 'remove' });
      if (outcome === 'done' || outcome === 'refused') return outcome;
      failed = outcome.failed;
      // Where no server runs, nobody removes anything.
      if (!heard || from.failed.gone) return 'failed';
      return (await relay.within(Math.min(leftMs(), tuning.nodeTimeoutMs))) ? 'relayed' : 'failed';
    };
    const relayed = relay.done.then(() => 'relayed' as const);
    const bound = { clock, late: () => new NodeUnavailableError(failed.id, 'timeout') };
    try {
      const outcome = await within(Promise.race([again(), relayed]), leftMs(), bound);
      if (outcome === 'done') {
        topology.missed.confirmed(from.failed.id);
        return true;
      }
      if (outcome === 'relayed' && (await within(this.#relayed(key, from), leftMs(), bound))) {
        return true;
      }
    } catch (error) {
      if (!(error instanceof NodeUnavailableError)) throw error;
    } finally {
      relay.end();
    }
    this.#removeLater(key, failed);
    return false;
  }

  // As in `#apply`: the present owner after the previous one, and nothing is
  // done if the ring is another by now. Rejects with NodeUnavailableError.
  async #relayed(key: string, { failed, snapshot }: Failure): Promise<boolean> {
    const { topology } = this.#parts;
    this.#forget(key);
    const owner = snapshot.owner(snapshot.ring.hash(key));
    if (owner !== failed) {
      const { kind } = await owner.remove(key, snapshot.fence);
      if (kind !== 'removed') return false;
      topology.missed.confirmed(owner.id);
    }
    return topology.snapshot === snapshot;
  }

  // While the ring changes the present owner may have a copy of what the
  // previous one does not remove. It is removed there at once, and again after
  // the previous one: until then it may be copied once more. Resolves as `note`.
  async #note(key: string, failed: CacheNode): Promise<boolean> {
    const { missed, snapshot } = this.#parts.topology;
    const owner = snapshot.owner(snapshot.ring.hash(key));
    const noted = missed.note(failed.id, key, this.#longestMs);
    if (owner === failed) return noted;
    const removed = owner.remove(key, snapshot.fence).then(() => missed.confirmed(owner.id));
    await Promise.allSettled([noted, missed.note(owner.id, key, this.#longestMs), removed]);
    return noted;
  }

  #removeLater(key: string, failed: CacheNode): void {
    const { counters, unconfirmed } = this.#parts;
    counters.unconfirmed++;
    failed.removeLater(key, this.#longestMs);
    unconfirmed(key, failed.id);
  }

  /** @param own The value that is in force now is ours: it may be put into memory with the ticket taken before. */
  #forget(key: string, own = false): void {
    const { memory, loader, topology } = this.#parts;
    loader.forget(key);
    if (!own) memory.forget(key, topology.snapshot.ring.hash(key));
  }
}

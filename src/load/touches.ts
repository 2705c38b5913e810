/**
 * Another life for a value that is there, without sending it.
 *
 * While the ring changes: the owner first, and the previous one only when the
 * owner has nothing. The previous one may have an older value, past its ttl,
 * under the one that was loaded at the owner since; with another life it would
 * be copied when the owner loses its own.
 */
import type { Clock } from '../clock.ts';
import { NodeUnavailableError } from '../errors.ts';
import type { Memory } from '../memory/memory.ts';
import type { CacheCounters } from '../metrics/metrics.ts';
import type { TouchAnswer, TouchAsk } from '../node/life-node.ts';
import type { CacheNode } from '../node/node.ts';
import type { Topology } from '../topology/topology.ts';
import { inTime, SETTLE_ROUNDS } from './in-time.ts';
import { type EntrySettings, type LoadTuning, lifeWithin } from './settings.ts';
import { lookUp } from './sighting.ts';

export interface TouchesParts {
  readonly clock: Clock;
  readonly tuning: Pick<LoadTuning, 'nodeTimeoutMs'>;
  readonly topology: Topology;
  readonly memory: Memory;
  readonly counters: CacheCounters;
  /** A life that a value was given. */
  readonly lived: (ms: number) => void;
}

export class Touches {
  readonly #parts: TouchesParts;

  constructor(parts: TouchesParts) {
    this.#parts = parts;
  }

  /** Whether there was a value, and its node confirmed it. Nothing is tried again: at worst the life is the old one. */
  async touch(key: string, settings: EntrySettings): Promise<boolean> {
    const { clock, counters, lived, memory, topology, tuning } = this.#parts;
    counters.touches++;
    const life = lifeWithin(settings, settings.ttlMs);
    // Before it is sent: what a node has must not outlive what is kept of its deletes.
    lived(life.ttlMs + life.staleMs);
    for (let round = 0; ; round++) {
      const { snapshot } = topology;
      const hash = snapshot.ring.hash(key);
      let node = snapshot.owner(hash);
      const { fence } = snapshot;
      const bound = { clock, nodeTimeoutMs: tuning.nodeTimeoutMs };
      try {
        const touchAt = async (at: CacheNode, as: 'owner' | 'previous'): Promise<TouchAnswer> => {
          node = at;
          const connecting = topology.connecting(at);
          if (connecting !== undefined) await inTime(connecting, at, bound);
          const ask: TouchAsk = { life, since: snapshot.believedFrom(hash, as), fence };
          return at.life.touch(key, ask);
        };
        const owner = node;
        let answer = await touchAt(owner, 'owner');
        let touched = owner;
        const previous = snapshot.previousOwner(hash);
        if (answer.kind === 'absent' && previous !== undefined) {
          answer = await touchAt(previous, 'previous');
          touched = previous;
          // It may have been copied in between, with the life that it had.
          if (answer.kind === 'touched') await touchAt(owner, 'owner');
        }
        if (answer.kind === 'absent') return false;
        if (answer.kind === 'touched') {
          // What is held here knows of the old life alone.
          memory.forget(key, hash);
          // What was deleted by a tag or cleared stands there still.
          // The node's own budget bounds it.
          const { stored } = await lookUp(touched, key);
          return stored !== undefined && stored.overtaken !== true;
        }
        if (round >= SETTLE_ROUNDS) return false;
        const news = answer.kind === 'unknown' ? node.readmit() : topology.refresh(snapshot);
        await inTime(news, node, bound);
      } catch (error) {
        if (!(error instanceof NodeUnavailableError)) throw error;
        // It may have been done: the life that is held here may be too long.
        memory.forget(key, topology.snapshot.ring.hash(key));
        return false;
      }
    }
  }
}

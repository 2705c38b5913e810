/** Who is told what the nodes of a cache tell by themselves. */
import type { Emitter } from '../emitter.ts';
import type { CacheEvents } from '../events.ts';
import type { LoadsElsewhere } from '../load/loads-elsewhere.ts';
import type { Memory } from '../memory/memory.ts';
import type { MemoryTuning } from '../memory/settings.ts';
import type { PushListener, PushWatch } from '../node/push.ts';
import type { Topology } from '../topology/topology.ts';

export interface PushRoomsParts {
  readonly memory: Memory;
  readonly elsewhere: LoadsElsewhere;
  readonly events: Emitter<CacheEvents>;
  /** Made after the nodes are. */
  readonly topology: () => Topology;
}

/** So that what is trusted outlasts two PINGs that are answered late. */
const BEATS_A_TRUST = 4;

export function joinPush(tuning: MemoryTuning | false, parts: PushRoomsParts): PushWatch {
  const { memory, elsewhere, events, topology } = parts;
  const listener: PushListener = {
    tracked(node, tracked) {
      if (tracked) return memory.track(node);
      memory.untrack(node);
      elsewhere.tellAll();
    },
    refused: (node, error) => events.emit('node:untracked', { node, error }),
    heard: (node, at) => memory.heard(node, at),
    changed: (_, key) => memory.told(key, topology().snapshot.ring.hash(key)),
    flushed: (node) => memory.drop(node),
    // One that has left is not asked any more.
    invalidated: (node) => topology().snapshot.nodes.get(node)?.tags.refresh(),
    news: (node) => void topology().newsAt(node),
    loadOver: (_, key) => elsewhere.tell(key),
    noted: (_, of) => topology().missed.notedFor(of),
    takenOff: (_, what) => topology().missed.relays.told(what),
  };
  if (tuning === false) return { listener, values: false };
  return { listener, values: true, beatMs: Math.max(1, tuning.maxStaleMs / BEATS_A_TRUST) };
}

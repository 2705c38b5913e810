/** The locks of one topology: of a cache, or of `createLocks`. */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Emitter } from '../emitter.ts';
import { type LockEvents, LockService } from '../lock/locks.ts';
import { QuorumHomes } from '../lock/quorum-homes.ts';
import { type HomesParts, RingHomes } from '../lock/ring-homes.ts';
import type { LockSettings } from '../lock/settings.ts';
import { Wakes } from '../lock/wait.ts';
import type { Wake } from '../node/lock-node.ts';
import type { CacheNode } from '../node/node.ts';
import { Gates } from '../topology/gates.ts';
import { LockEras } from '../topology/lock-eras.ts';
import type { Topology } from '../topology/topology.ts';

export interface LockRoomsParts {
  readonly clock: Clock;
  readonly topology: Topology;
  readonly settings: LockSettings;
  readonly nodeTimeoutMs: number;
  readonly events: Emitter<LockEvents>;
  /** The ids of all nodes that a majority is asked of; undefined: each lock is on one node of the ring. */
  readonly quorum: readonly string[] | undefined;
}

export interface LockRooms {
  readonly service: LockService;
  readonly gates: Gates;
  /** Another topology is in force. */
  follow(): void;
  end(): void;
}

const noop = (): void => undefined;

export function joinLocks(parts: LockRoomsParts): LockRooms {
  const { clock, topology, settings, nodeTimeoutMs, events, quorum } = parts;
  const wakes = new Wakes();
  const gates = new Gates(
    { kind: quorum === undefined ? 'ring' : 'quorum', longestMs: settings.maxTtlMs },
    () => topology.snapshot.lockNodes(),
    {
      opened: (node) => warnIfEvictable(node, events),
      quarantined: ({ id }, remainingMs) => events.emit('quarantined', { node: id, remainingMs }),
    },
  );
  const homesParts: HomesParts = {
    clock,
    topology,
    gates,
    waiter: randomBytes(9).toString('base64url'),
    wake: (node) => wakeOf(node, wakes),
  };
  const homes =
    quorum === undefined ? new RingHomes(homesParts) : new QuorumHomes(homesParts, quorum);
  const service = new LockService({ clock, homes, wakes, settings, events, nodeTimeoutMs });
  const eras = new LockEras(topology, clock, settings.maxTtlMs);
  return {
    service,
    gates,
    follow: () => eras.follow(),
    end: () => {
      service.end();
      eras.end();
    },
  };
}

/** Who does not want a lock any more that is reserved for him passes it on. */
function wakeOf(node: CacheNode, wakes: Wakes): Wake {
  wakes.listen();
  return (token, name) => {
    if (wakes.wake(token)) return;
    node.locks.release(name, { token, waiter: '', keepMs: 0 }).catch(noop);
  };
}

function warnIfEvictable(node: CacheNode, events: Emitter<LockEvents>): void {
  node.locks.evictionPolicy().then((policy) => {
    if (policy === undefined || events.emit('evictable', { node: node.id, policy })) return;
    process.emitWarning(
      `node ${node.id} may evict locks when it is full (maxmemory-policy ${policy}), and then two may hold ` +
        "one; give locks nodes of their own, with noeviction: createLocks({ nodes }). Listen to 'evictable' " +
        'instead of this warning',
      { type: 'RingCacheWarning', code: 'RINGCACHE_EVICTABLE_LOCKS' },
    );
  }, noop);
}

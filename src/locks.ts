/** Locks without a cache, on nodes of their own. */
import { joinLocks } from './cache/lock-rooms.ts';
import { systemClock } from './clock.ts';
import { Emitter } from './emitter.ts';
import { NodeUnavailableError } from './errors.ts';
import type { LockEvents, Locks } from './lock/locks.ts';
import { conflictAt } from './lock/steps.ts';
import { PayloadCodec } from './node/codec.ts';
import type { NodeListener } from './node/node.ts';
import { RedisNode } from './node/redis-node.ts';
import {
  type CreateLocksOptions,
  type ResolvedLocksOptions,
  resolveLocksOptions,
} from './options.ts';
import type { Gates } from './topology/gates.ts';
import { Topology, type TopologyParts } from './topology/topology.ts';

const noop = (): void => undefined;

/** Locks with connections of their own. */
export interface OwnLocks extends Locks, AsyncDisposable {
  /**
   * Ends everything: callers that wait are rejected with ClosedError, locks that
   * are held are lost (`closed`) and end by their ttl, since the work under them
   * may go on. No timer and no socket is left. Idempotent.
   */
  close(): Promise<void>;
}

/**
 * Connects to the nodes and returns the locks; `close()` them, or `await using`.
 *
 * A node that is down does not make it reject: locks that belong to it cannot
 * be had until it is there.
 *
 * @throws InvalidOptionError before anything is connected.
 * @throws TopologyConflictError when the nodes serve another member list, `quorum` or `maxTtl`;
 *   everything is closed again.
 */
export async function createLocks(options: CreateLocksOptions): Promise<OwnLocks> {
  const resolved = resolveLocksOptions(options);
  const events = new Emitter<LockEvents>();
  const topology = await Topology.create(resolved.seats, {
    ...topologyParts(resolved, events),
    swapped: () => locks.follow(),
  });
  const locks = joinLocks({
    clock: systemClock,
    topology,
    settings: resolved.lock,
    nodeTimeoutMs: resolved.node.timeoutMs,
    events,
    quorum: resolved.quorum ? resolved.seats.map(({ id }) => id) : undefined,
  });
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    locks.end();
    await topology.close();
  };
  try {
    await topology.open();
    await checkAgreement(topology, locks.gates);
  } catch (error) {
    await close();
    throw error;
  }
  const closeOnce = (): Promise<void> => {
    closing ??= close();
    return closing;
  };
  return Object.assign(locks.service, { close: closeOnce, [Symbol.asyncDispose]: closeOnce });
}

function topologyParts(
  options: ResolvedLocksOptions,
  events: Emitter<LockEvents>,
): Omit<TopologyParts, 'swapped'> {
  const { namespace, node: tuning, breaker, ring } = options;
  const codec = new PayloadCodec();
  const listener: NodeListener = {
    state: noop,
    trouble: (node, error) => events.emit('trouble', { node, error }),
    confirmed: noop,
    raised: noop,
  };
  const clock = systemClock;
  const seat: TopologyParts['seat'] = (place, host) =>
    new RedisNode(place, { clock, codec, host, namespace, listener, tuning, breaker });
  return { clock, ring, seat, locksOnly: true };
}

/** @throws TopologyConflictError when others use these nodes in another way. */
async function checkAgreement(topology: Topology, gates: Gates): Promise<void> {
  const { profile, longestMs } = gates;
  const knocks = topology.snapshot.lockNodes().map(async ({ id, locks }) => {
    try {
      return { id, answer: await locks.knock({ profile, longestMs, claim: 'ask' }) };
    } catch (error) {
      if (error instanceof NodeUnavailableError) return undefined;
      throw error;
    }
  });
  for (const knock of await Promise.all(knocks)) {
    if (knock?.answer.kind === 'conflict') throw conflictAt(knock.id, knock.answer.profile);
  }
}

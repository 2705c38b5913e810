/** The rooms of one cache, made in order and told what each needs of the others. */
import type { Clock } from '../clock.ts';
import { Emitter } from '../emitter.ts';
import type { CacheEvents } from '../events.ts';
import { Loader } from '../load/loader.ts';
import { LoadsElsewhere } from '../load/loads-elsewhere.ts';
import { Reads } from '../load/reads.ts';
import { LoadRunner } from '../load/runner.ts';
import { TagDeletes } from '../load/tag-deletes.ts';
import { Touches } from '../load/touches.ts';
import { Writes } from '../load/writes.ts';
import type { LockEvents } from '../lock/locks.ts';
import { Memory } from '../memory/memory.ts';
import {
  CopyingMemory,
  copier,
  FreezingMemory,
  freezeDeep,
  type Share,
} from '../memory/sharing.ts';
import { CacheCounters } from '../metrics/metrics.ts';
import type { PayloadCodec } from '../node/codec.ts';
import type { TagHost } from '../node/known-tags.ts';
import type { NodeListener } from '../node/node.ts';
import { RedisNode } from '../node/redis-node.ts';
import type { Invalidation } from '../node/tag-node.ts';
import type { ResolvedOptions } from '../options.ts';
import { TopologyChanger } from '../topology/change.ts';
import { Topology, type TopologyParts } from '../topology/topology.ts';
import { joinLocks, type LockRooms } from './lock-rooms.ts';
import { joinPush } from './push-rooms.ts';

export interface Rooms {
  readonly options: ResolvedOptions;
  readonly events: Emitter<CacheEvents>;
  readonly counters: CacheCounters;
  readonly memory: Memory;
  /** What each caller of a load gets of its value; undefined: the value. */
  readonly share: Share | undefined;
  readonly topology: Topology;
  readonly changer: TopologyChanger;
  readonly runner: LoadRunner;
  readonly loads: Loader;
  readonly reads: Reads;
  readonly writes: Writes;
  readonly tagDeletes: TagDeletes;
  readonly touches: Touches;
  readonly locks: LockRooms;
  /** Ends the locks and the change under way, and disconnects. */
  end(): Promise<void>;
}

/** Nothing is connected yet when it resolves. */
export async function joinRooms(
  options: ResolvedOptions,
  codec: PayloadCodec,
  clock: Clock,
): Promise<Rooms> {
  const events = new Emitter<CacheEvents>();
  const counters = new CacheCounters();
  const { memory, share } = joinMemory(options, { codec, clock });
  const listener = listenerOf({ memory, events }, () => ({ topology, writes, tagDeletes }));
  const elsewhere = new LoadsElsewhere();
  const watch = joinPush(options.memory, { memory, elsewhere, events, topology: () => topology });
  const { namespace, node: tuning, breaker } = options;
  const forNodes = {
    clock,
    codec,
    namespace,
    listener,
    tuning,
    breaker,
    watch,
    tagHost: tagHostOf(memory),
  };
  const seat: TopologyParts['seat'] = (place, host) => new RedisNode(place, { ...forNodes, host });
  const swapped: TopologyParts['swapped'] = (snapshot, adopted) => {
    locks.follow();
    changer.follow();
    memory.follow((key) => snapshot.ring.owner(key), snapshot.floors);
    events.emit(adopted ? 'topology:adopted' : 'topology:changed', {
      epoch: snapshot.epoch,
      state: snapshot.state,
      nodes: [...snapshot.ring.ids],
    });
  };
  const { ring, control } = options;
  const topology = await Topology.create(options.seats, { clock, ring, control, seat, swapped });
  const encode = (value: unknown) => codec.encode(value);
  const shared = { clock, topology, memory, counters, encode, elsewhere, tuning: options.load };
  const loading = joinLoading(shared, options, events);
  const { writes, tagDeletes } = loading;
  const locks = joinLocks({
    clock,
    topology,
    settings: options.lock,
    nodeTimeoutMs: options.node.timeoutMs,
    events: new Emitter<LockEvents>(),
    quorum: undefined,
  });
  const changer = new TopologyChanger(topology, locks.gates, clock);
  const end = () => endAll({ locks, changer, topology });
  return { ...shared, share, options, events, changer, ...loading, locks, end };
}

/** @param rooms Those that are made after the nodes. */
function listenerOf(
  { memory, events }: Pick<Rooms, 'memory' | 'events'>,
  rooms: () => Pick<Rooms, 'topology' | 'writes' | 'tagDeletes'>,
): NodeListener {
  return {
    state(node, { state }) {
      // What was changed there while it was away is not known: look again.
      if (state === 'up') memory.drop(node);
      // One that has left stays connected for the locks for a while, and may be stopped.
      if (rooms().topology.snapshot.leaving.has(node)) return;
      events.emit(state === 'up' ? 'node:up' : 'node:down', { node });
    },
    trouble: (node, error) => events.emit('node:trouble', { node, error }),
    confirmed(node, key) {
      rooms().writes.confirmed(key, node);
      events.emit('invalidation:confirmed', { key, node });
    },
    raised(node, one) {
      rooms().tagDeletes.confirmed(one, node);
      events.emit('tag:confirmed', { ...namedOf(one), node });
    },
  };
}

async function endAll(rooms: Pick<Rooms, 'locks' | 'changer' | 'topology'>): Promise<void> {
  rooms.locks.end();
  await rooms.changer.end();
  rooms.topology.missed.end();
  await rooms.topology.close();
}

function tagHostOf(memory: Memory): TagHost {
  return {
    recordsInUse: () => memory.recordsInUse(),
    cleared: (node, isCleared) => memory.sweep(node, isCleared),
    uncertain: (node) => memory.drop(node),
  };
}

function joinMemory(
  { memory: tuning, sharing }: ResolvedOptions,
  { codec, clock }: { codec: PayloadCodec; clock: Clock },
): Pick<Rooms, 'memory' | 'share'> {
  if (sharing === 'shared') return { memory: new Memory(tuning, clock), share: undefined };
  if (sharing === 'frozen') return { memory: new FreezingMemory(tuning, clock), share: freezeDeep };
  const share = copier((value) => codec.passThrough(value));
  return { memory: new CopyingMemory(tuning, clock, share), share };
}

type Loading = Pick<Rooms, 'runner' | 'loads' | 'reads' | 'writes' | 'touches' | 'tagDeletes'>;

function joinLoading(
  shared: Omit<ConstructorParameters<typeof Loader>[0], 'listener'>,
  options: ResolvedOptions,
  events: Emitter<CacheEvents>,
): Loading {
  const runner = new LoadRunner(shared.clock, shared.counters, options.load);
  const loads = new Loader({
    ...shared,
    listener: {
      refreshFailed: (key, error) => events.emit('load:failed', { key, error }),
      valueRefused: (key, error) => events.emit('value:refused', { key, error }),
    },
  });
  const reads = new Reads(shared);
  const writes = new Writes({
    ...shared,
    loader: loads,
    longestMs: options.entry.ttlMs + options.entry.staleMs,
    unconfirmed: (key, node) => events.emit('invalidation:unconfirmed', { key, node }),
  });
  const tagDeletes = new TagDeletes({
    ...shared,
    loader: loads,
    longestMs: () => writes.longestMs,
    unconfirmed: (one, node) => events.emit('tag:unconfirmed', { ...namedOf(one), node }),
  });
  const touches = new Touches({ ...shared, lived: (ms) => writes.lived(ms) });
  return { runner, loads, reads, writes, touches, tagDeletes };
}

function namedOf({ kind, name }: Invalidation): { tag: string } | { prefix: string } {
  return kind === 'tag' ? { tag: name } : { prefix: name };
}

/**
 * A process of the cache whose nodes are simulated: the rooms that
 * `src/cache/rooms.ts` joins, joined alike, over servers that several of them
 * share.
 */
import type { Clock } from '../../src/clock.ts';
import type { Flight } from '../../src/load/flight.ts';
import { Loader, type LoaderParts } from '../../src/load/loader.ts';
import { LoadsElsewhere } from '../../src/load/loads-elsewhere.ts';
import { Reads } from '../../src/load/reads.ts';
import { type Loader as LoadFunction, LoadRunner } from '../../src/load/runner.ts';
import type { EntrySettings, LoadTuning } from '../../src/load/settings.ts';
import { Touches } from '../../src/load/touches.ts';
import { Writes, type WritesParts } from '../../src/load/writes.ts';
import { Memory } from '../../src/memory/memory.ts';
import type { MemoryTuning } from '../../src/memory/settings.ts';
import { CacheCounters } from '../../src/metrics/metrics.ts';
import { PayloadCodec } from '../../src/node/codec.ts';
import { TopologyChanger } from '../../src/topology/change.ts';
import { Gates } from '../../src/topology/gates.ts';
import { LockEras } from '../../src/topology/lock-eras.ts';
import type { Snapshot } from '../../src/topology/snapshot.ts';
import { type RingTuning, type Seat, Topology } from '../../src/topology/topology.ts';
import { type Hop, SimulatedNode } from './simulated-node.ts';
import { SimulatedServer } from './simulated-server.ts';

export const RING: RingTuning = { points: 64, placement: 'xxh32' };

export const SETTINGS: EntrySettings = {
  ttlMs: 60_000,
  staleMs: 0,
  negativeTtlMs: 60_000,
  jitter: 0,
  memory: true,
};

export const TUNING: LoadTuning = {
  timeoutMs: 30_000,
  softTimeoutMs: 0,
  concurrency: 100,
  leaseMs: 10_000,
  earlyRefresh: 0,
  nodeTimeoutMs: 100,
};

export const MEMORY: MemoryTuning = {
  maxEntries: 1_000,
  maxBytes: 1_000_000,
  ttlMs: 60_000,
  maxStaleMs: 1_000,
};

export function seat(id: string, weight = 1): Seat {
  return { id, url: `redis://${id}:6379`, weight };
}

/** The servers that there are, by id; asked for by name, they come to be. */
export class SimulatedServers {
  readonly #clock: Clock;
  readonly #servers = new Map<string, SimulatedServer>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get(id: string): SimulatedServer {
    const known = this.#servers.get(id);
    if (known !== undefined) return known;
    const server = new SimulatedServer(id, this.#clock);
    this.put(server);
    return server;
  }

  put(server: SimulatedServer): void {
    this.#servers.set(server.id, server);
  }
}

export interface SimulatedProcessOptions {
  readonly clock: Clock;
  readonly servers: SimulatedServers;
  readonly seats: readonly Seat[];
  readonly hop?: Hop;
  readonly memory?: Memory;
  readonly ring?: RingTuning;
  readonly tuning?: Partial<LoadTuning>;
  readonly settings?: Partial<EntrySettings>;
  /** Made instead of a `Loader`. */
  readonly loader?: (parts: LoaderParts) => Loader;
  /** Made instead of `Writes`. */
  readonly writes?: (parts: WritesParts) => Writes;
  /** Called with each snapshot before it is used. */
  readonly swapping?: (snapshot: Snapshot) => void;
  /** Called for every node that this process makes. */
  readonly seated?: (node: SimulatedNode) => void;
}

/** The longest ttl of a lock. */
const LONGEST_LOCK_MS = 60_000;

export class SimulatedProcess {
  readonly counters = new CacheCounters();
  readonly memory: Memory;
  readonly settings: EntrySettings;
  readonly topology: Topology;
  readonly gates: Gates;
  readonly eras: LockEras;
  readonly changer: TopologyChanger;
  readonly runner: LoadRunner;
  readonly loader: Loader;
  readonly reads: Reads;
  readonly writes: Writes;
  readonly touches: Touches;
  readonly nodes: ReadonlyMap<string, SimulatedNode>;
  /** What happened behind the callers' backs. */
  readonly refreshFailures: unknown[] = [];
  readonly refused: string[] = [];
  readonly unconfirmed: string[] = [];
  /** The snapshots that came into force, and whether each was found at a node. */
  readonly swaps: { snapshot: Snapshot; adopted: boolean }[];

  private constructor(
    options: SimulatedProcessOptions,
    made: Pick<SimulatedProcess, 'topology' | 'memory' | 'nodes' | 'swaps' | 'eras'>,
  ) {
    const { clock } = options;
    const { topology, memory } = made;
    this.topology = topology;
    this.eras = made.eras;
    this.memory = memory;
    this.nodes = made.nodes;
    this.swaps = made.swaps;
    this.settings = { ...SETTINGS, ...options.settings };
    const codec = new PayloadCodec();
    const encode = (value: unknown) => codec.encode(value);
    const { counters } = this;
    const tuning = { ...TUNING, ...options.tuning };
    const elsewhere = new LoadsElsewhere();
    const shared = { clock, topology, memory, counters, encode, elsewhere, tuning };
    const rules = { kind: 'ring', longestMs: LONGEST_LOCK_MS } as const;
    this.gates = new Gates(rules, () => topology.snapshot.lockNodes(), {
      opened: () => undefined,
      quarantined: () => undefined,
    });
    this.changer = new TopologyChanger(topology, this.gates, clock);
    this.runner = new LoadRunner(clock, counters, tuning);
    this.loader = (options.loader ?? ((parts) => new Loader(parts)))({
      ...shared,
      listener: {
        refreshFailed: (_key, error) => this.refreshFailures.push(error),
        valueRefused: (key) => this.refused.push(key),
      },
    });
    this.reads = new Reads(shared);
    this.writes = (options.writes ?? ((parts) => new Writes(parts)))({
      ...shared,
      loader: this.loader,
      longestMs: this.settings.ttlMs + this.settings.staleMs,
      unconfirmed: (key) => this.unconfirmed.push(key),
    });
    this.touches = new Touches({ ...shared, lived: (ms) => this.writes.lived(ms) });
  }

  /** Not connected yet. */
  static async create(options: SimulatedProcessOptions): Promise<SimulatedProcess> {
    const { clock, servers, hop } = options;
    const memory = options.memory ?? new Memory(MEMORY, clock);
    const nodes = new Map<string, SimulatedNode>();
    const swaps: SimulatedProcess['swaps'] = [];
    let made: SimulatedProcess | undefined;
    const topology = await Topology.create(options.seats, {
      clock,
      ring: options.ring ?? RING,
      seat: (place, host) => {
        const node = new SimulatedNode(servers.get(place.id), { host, hop });
        nodes.set(place.id, node);
        options.seated?.(node);
        return node;
      },
      swapped: (snapshot, adopted) => {
        options.swapping?.(snapshot);
        eras.follow();
        made?.changer.follow();
        memory.follow((key) => snapshot.ring.owner(key), snapshot.floors);
        swaps.push({ snapshot, adopted });
      },
    });
    options.swapping?.(topology.snapshot);
    const eras = new LockEras(topology, clock, LONGEST_LOCK_MS);
    made = new SimulatedProcess(options, { topology, memory, nodes, swaps, eras });
    return made;
  }

  /** Connected. */
  static async start(options: SimulatedProcessOptions): Promise<SimulatedProcess> {
    const process = await SimulatedProcess.create(options);
    await process.topology.open();
    return process;
  }

  node(id: string): SimulatedNode {
    const node = this.nodes.get(id);
    if (node === undefined) throw new TypeError(`no node ${id}`);
    return node;
  }

  /** As `RingCache.getOrSet` does. */
  getOrSet(
    key: string,
    load: LoadFunction<unknown>,
    options: Partial<EntrySettings> & { signal?: AbortSignal } = {},
  ): Promise<unknown> {
    const { signal, ...own } = options;
    const settings = { ...this.settings, ...own };
    const held = settings.memory ? this.memory.get(key) : undefined;
    if (held !== undefined) return Promise.resolve(held);
    const work = (flight: Flight) =>
      this.runner.run({
        key,
        stale: flight.stale?.value,
        signal: flight.signal,
        invoke: load,
      });
    return this.loader.get(key, { work, settings }).join(signal);
  }

  /** As `RingCache.get` does. */
  get(key: string): Promise<unknown> {
    const held = this.memory.get(key);
    return held === undefined ? this.reads.get(key) : Promise.resolve(held);
  }

  set(key: string, value: unknown, options: Partial<EntrySettings> = {}): Promise<boolean> {
    const prepared = this.writes.prepare(key, value);
    return this.writes.set(prepared, { ...this.settings, ...options });
  }

  delete(key: string): Promise<boolean> {
    return this.writes.delete(key);
  }

  expire(key: string): Promise<boolean> {
    return this.writes.expire(key);
  }

  touch(key: string, options: Partial<EntrySettings> = {}): Promise<boolean> {
    return this.touches.touch(key, { ...this.settings, ...options });
  }

  async close(): Promise<void> {
    this.loader.close(new Error('closed'));
    await this.topology.close();
  }
}

/**
 * The options of a cache: what they mean, and the one place where they are
 * checked. What leaves here is complete, in milliseconds, and valid.
 */
import type * as v from 'valibot';
import type { Duration } from './duration.ts';
import { InvalidOptionError } from './errors.ts';
import type { EntrySettings, LoadOptions, LoadTuning } from './load/settings.ts';
import { type LockSettings, type LocksOptions, locksSettings } from './lock/settings.ts';
import type { MemoryOptions, MemoryTuning } from './memory/settings.ts';
import type { Sharing } from './memory/sharing.ts';
import { addressOf } from './node/address.ts';
import type { Codec } from './node/codec.ts';
import type { BreakerTuning, NodeTuning } from './node/tuning.ts';
import {
  cacheSchema,
  changeSchema,
  locksSchema,
  nodeSchema,
  parse,
  ringChangeSchema,
} from './options/schema.ts';
import { NAME, NAME_RULE, RING_DEFAULTS } from './ring/members.ts';
import type { RingChange } from './topology/ring-change.ts';
import type { RingTuning, Seat } from './topology/topology.ts';

export interface NodeOptions {
  /**
   * Stable name: 1 to 64 of `A-Z a-z 0-9 . _ : -`. Keys are placed by it alone,
   * so a server may move to another address and keep its keys.
   */
  id: string;
  /** `redis://`, `rediss://` or `unix://`, with user, password and database if needed. */
  url: string;
  /** Share relative to the others. 0.1 to 100. @default 1 */
  weight?: number;
  /** Options of ioredis on top of the URL: `tls`, `sentinels`, … Those that keep requests bounded are set by ringcache. */
  redis?: object;
}

export interface NodeTuningOptions {
  /** One request's whole budget at a node. 1 ms to 1 minute. @default 100 */
  timeout?: Duration;
  /** How long connecting may take. 10 ms to 1 minute. @default 300 */
  connectTimeout?: Duration;
  /** Most requests to one node that are unanswered; more are turned away. Integer, 1 to 1,000,000. @default 10000 */
  maxInFlight?: number;
}

export interface BreakerOptions {
  /** Opens when more than this share of the batches in the window failed. 1 to 99. @default 50 */
  errorThresholdPercentage?: number;
  /** And when there were at least so many. Integer, 1 to 10,000. @default 5 */
  volumeThreshold?: number;
  /** The window. 100 ms to 10 minutes. @default 2000 */
  rollingCountTimeout?: Duration;
  /** How long it stays open before the node is tried again. 10 ms to 10 minutes. @default 1000 */
  resetTimeout?: Duration;
}

export interface CacheOptions {
  /** The nodes of the first start. `'redis://h:p'` alone takes `h:p` as its id. 1 to 1,000. */
  nodes: ReadonlyArray<NodeOptions | string>;
  /** First part of every Redis key: 1 to 64 of `A-Z a-z 0-9 . _ : -`. @default 'ringcache' */
  namespace?: string;
  /** Fresh for this long. At least 1 ms. @default '1h' */
  ttl?: Duration;
  /** Each ttl is shortened by a random part of itself, 0 to this, so that what was stored together does not expire together. 0 to 1. @default 0.1 */
  jitter?: number;
  /** After the ttl: served for this long while one process reloads, or when loading fails. @default 0 */
  staleTtl?: Duration;
  /** The ttl of a `null`. At least 1 ms. @default the ttl */
  negativeTtl?: Duration;
  /** Reload some time before the end, by chance: XFetch's beta. 0 is off, 1 the optimum of the paper. 0 to 100. @default 0 */
  earlyRefresh?: number;
  /** The tier in this process; false turns it off. */
  memory?: false | MemoryOptions;
  ring?: {
    /** Points per unit of weight. Integer, 1 to 65,536. @default 512 */
    points?: number;
    /** How keys are placed: `ketama` as the npm package `hashring` does with its defaults. @default 'xxh32' */
    placement?: 'xxh32' | 'ketama';
  };
  node?: NodeTuningOptions;
  breaker?: BreakerOptions;
  load?: LoadOptions;
  /** How values become bytes: JSON, msgpack (needs the package `@msgpack/msgpack`), or your own. @default 'json' */
  codec?: 'json' | 'msgpack' | Codec;
  /** Compress encoded values from this many bytes on. Integer, 0 or more. @default false */
  compress?: false | { threshold: number };
  /**
   * URL of a Redis server that decides about changes of the ring and keeps the topology document; it
   * is no cache node. Of a fleet's first start: later the document says who decides. The same for all
   * processes. Without it, the node with the smallest id decides.
   */
  control?: string;
  /** Defaults for `cache.locks`. */
  lock?: LocksOptions;
}

/** Options of `createLocks`: those of the locks, and where they are. */
export interface CreateLocksOptions extends LocksOptions {
  /** As for `createCache`. Servers with `maxmemory-policy noeviction`, best of their own. */
  nodes: ReadonlyArray<NodeOptions | string>;
  /** First part of every Redis key: 1 to 64 of `A-Z a-z 0-9 . _ : -`. @default 'ringcache' */
  namespace?: string;
  /**
   * True: a lock is held on a majority of all nodes, an odd number of at least
   * 3. False: on the one node of the ring that its name belongs to.
   *
   * @default false
   */
  quorum?: boolean;
  node?: NodeTuningOptions;
  breaker?: BreakerOptions;
}

export interface ResolvedLocksOptions {
  readonly seats: readonly Seat[];
  readonly namespace: string;
  readonly quorum: boolean;
  readonly lock: LockSettings;
  readonly ring: RingTuning;
  readonly node: NodeTuning;
  readonly breaker: BreakerTuning;
}

export interface ResolvedOptions {
  readonly seats: readonly Seat[];
  readonly namespace: string;
  readonly entry: EntrySettings;
  readonly load: LoadTuning;
  readonly memory: MemoryTuning | false;
  readonly sharing: Sharing;
  readonly ring: RingTuning;
  readonly node: NodeTuning;
  readonly breaker: BreakerTuning;
  readonly codec: 'json' | 'msgpack' | Codec;
  readonly compressFromBytes: number | undefined;
  readonly control: string | undefined;
  readonly lock: LockSettings;
}

/** @throws InvalidOptionError naming the path, the rule and what was given. */
export function resolveOptions(options: CacheOptions): ResolvedOptions {
  const given = parse(cacheSchema, options);
  const { memory, load } = given;
  const seats = checkSeats(given.nodes);
  return {
    seats,
    ...nodeTuning(given),
    namespace: given.namespace,
    entry: {
      ttlMs: given.ttl,
      staleMs: given.staleTtl,
      negativeTtlMs: given.negativeTtl ?? given.ttl,
      jitter: given.jitter,
      memory: true,
    },
    load: {
      timeoutMs: load.timeout,
      softTimeoutMs: load.softTimeout,
      concurrency: load.concurrency,
      leaseMs: load.lease,
      earlyRefresh: given.earlyRefresh,
      nodeTimeoutMs: given.node.timeout,
    },
    memory: memory !== false && {
      maxEntries: memory.maxEntries,
      maxBytes: memory.maxBytes,
      ttlMs: memory.ttl,
      maxStaleMs: memory.maxStale,
    },
    sharing: memory === false ? 'shared' : sharingOf(memory),
    ring: given.ring,
    codec: given.codec,
    control: checkControl(given.control, seats),
    compressFromBytes: given.compress === false ? undefined : given.compress.threshold,
    lock: locksSettings(given.lock as LocksOptions | undefined, 'lock.'),
  };
}

function sharingOf({ clone, freeze }: { clone: boolean; freeze: boolean }): Sharing {
  if (clone && freeze) {
    // Everybody may change his own copy: there is nothing to be found.
    throw new InvalidOptionError('memory.freeze', 'false when memory.clone is true', freeze);
  }
  if (clone) return 'copied';
  return freeze ? 'frozen' : 'shared';
}

/** The same for the options of `createLocks`. */
export function resolveLocksOptions(options: CreateLocksOptions): ResolvedLocksOptions {
  const given = parse(locksSchema, options);
  const { nodes, namespace, quorum, node, breaker, ...lock } = given;
  const seats = checkSeats(nodes);
  if (quorum && (seats.length < 3 || seats.length % 2 === 0)) {
    const rule = 'an odd number of at least 3 with quorum (4 survive no more failures than 3)';
    throw new InvalidOptionError('nodes.length', rule, seats.length);
  }
  return {
    seats,
    namespace,
    quorum,
    lock: locksSettings(lock as LocksOptions),
    ring: RING_DEFAULTS,
    ...nodeTuning({ node, breaker }),
  };
}

function nodeTuning(given: Pick<v.InferOutput<typeof cacheSchema>, 'node' | 'breaker'>): {
  node: NodeTuning;
  breaker: BreakerTuning;
} {
  const { node, breaker } = given;
  return {
    node: {
      timeoutMs: node.timeout,
      connectTimeoutMs: node.connectTimeout,
      maxInFlight: node.maxInFlight,
    },
    breaker: {
      errorThresholdPercentage: breaker.errorThresholdPercentage,
      volumeThreshold: breaker.volumeThreshold,
      rollingCountTimeoutMs: breaker.rollingCountTimeout,
      resetTimeoutMs: breaker.resetTimeout,
    },
  };
}

function checkSeats(given: readonly Seat[]): Seat[] {
  const seats = given.map((seat, i) => checkSeat(seat, `nodes.${i}`));
  checkDistinct(seats);
  return seats;
}

/** Several changes of the ring that are made in one. */
export interface RingChangeOptions {
  add?: ReadonlyArray<NodeOptions | string>;
  /** Ids of members. */
  remove?: readonly string[];
  /** New weights of members, by id. 0.1 to 100. */
  weights?: Readonly<Record<string, number>>;
  /** Members that are at another address from now on, by id; the server there is taken as it is. */
  urls?: Readonly<Record<string, string>>;
}

/** A change as `changeRing` and `plan` take it. @throws InvalidOptionError */
export function resolveChange(change: RingChangeOptions): RingChange {
  const { add, remove, weights, urls } = parse(ringChangeSchema, change, 'change');
  const readdress = Object.entries(urls).map(([id, url]) => {
    return checkSeat({ id, url, weight: 1 }, `change.urls.${id}`);
  });
  const seats = add.map((seat, i) => checkSeat(seat, `change.add.${i}`));
  return { add: seats, remove, weights, readdress };
}

/** One node, as `addNode` takes it. @throws InvalidOptionError */
export function resolveNode(node: NodeOptions | string, path = 'node'): Seat {
  return checkSeat(parse(nodeSchema, node, path), path);
}

/** @throws InvalidOptionError */
export function checkChangeOptions(options: unknown): void {
  parse(changeSchema, options ?? {});
}

function checkSeat(seat: Seat, path: string): Seat {
  const { id, url, weight, redis } = seat;
  // Throws for an address that cannot be used, without showing it.
  addressOf({ ...seat, path: `${path}.url` });
  if (!NAME.test(id)) {
    throw new InvalidOptionError(
      `${path}.id`,
      `${NAME_RULE} (say { id, url } when the address cannot be an id)`,
      id,
    );
  }
  return { id, url, weight, redis };
}

/** A server that is a node as well would keep two documents under one name. */
function checkControl(url: string | undefined, seats: readonly Seat[]): string | undefined {
  if (url === undefined) return undefined;
  const control = { id: 'control', url, weight: 1 };
  addressOf({ ...control, path: 'control' });
  const node = seats.find((seat) => serverOf(seat) === serverOf(control));
  if (node === undefined) return url;
  throw new InvalidOptionError('control', `another server than that of ${node.id}`, url);
}

/** Two names for one server would store, and delete, behind each other's back. */
function checkDistinct(seats: readonly Seat[]): void {
  const ids = new Set<string>();
  const servers = new Map<string, string>();
  for (const [i, seat] of seats.entries()) {
    const { id, url } = seat;
    if (ids.has(id)) throw new InvalidOptionError(`nodes.${i}.id`, 'different from all others', id);
    ids.add(id);
    const server = serverOf(seat);
    const other = servers.get(server);
    if (other !== undefined) {
      throw new InvalidOptionError(`nodes.${i}.url`, `another server than that of ${other}`, url);
    }
    servers.set(server, id);
  }
}

/** Equal for two ways to write the same database of the same server. */
function serverOf(seat: Seat): string {
  const { host, port, path, db = 0, sentinels, name } = addressOf(seat).options;
  if (sentinels !== undefined) return JSON.stringify([sentinels, name, db]);
  return JSON.stringify(path === undefined ? [String(host).toLowerCase(), port, db] : [path, db]);
}

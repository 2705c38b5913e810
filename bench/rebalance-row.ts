/**
 * One process of the rebalancing benchmark: an application that reads and
 * writes through a cache, or the operator's process that changes the ring.
 * Writes down all it saw; what that means is found out in the parent.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { createCache, type NodeOptions, type RingCache } from '../src/index.ts';
import { obey } from './child.ts';
import { keysOf } from './keys.ts';
import { placeByModulo } from './modulo.ts';
import { Database, monotonicMs } from './rebalance-database.ts';
import { Asking, driveTraffic, type Target, type TrafficPlan } from './rebalance-traffic.ts';

/** What is measured: how keys are placed, and whether a change copies them. */
export interface RowSettings {
  readonly placement: 'modulo' | 'ring';
  readonly warm: boolean;
  readonly memory: boolean;
}

interface OpenPlan extends RowSettings {
  readonly nodes: readonly NodeOptions[];
  readonly database: string;
  readonly keys: number;
  readonly loadMs: number;
  readonly valueBytes: number;
}

interface Value {
  readonly id: number;
  readonly version: number;
  readonly note: string;
}

/** Columns, one entry for each event; times in milliseconds of the shared clock. */
export interface Seen {
  readonly reads: {
    readonly id: number[];
    readonly version: number[];
    readonly dueAt: number[];
    /** When the answer was asked for: by this read, or by the one in this process that it joined. */
    readonly askedAt: number[];
    readonly latencyMs: number[];
    /** 'h' served from the cache, 'n' waited for a load that had to be, 'x' for an extra one. */
    readonly kind: ('h' | 'n' | 'x')[];
  };
  readonly loads: { readonly at: number[]; readonly extra: boolean[] };
  /** Sets and deletes that were confirmed. */
  readonly writes: {
    readonly id: number[];
    readonly version: number[];
    readonly ackedAt: number[];
  };
  /** Sums over all nodes since the process began. */
  readonly samples: { readonly at: number; readonly requests: number; readonly copied: number }[];
  readonly rings: { readonly epoch: number; readonly joint: boolean; readonly at: number }[];
}

/** A change of the ring as its driver saw it. */
export interface Changed {
  readonly startedAt: number;
  readonly servesAt: number;
  readonly doneAt: number;
  /** From which every process serves by the new ring. */
  readonly epoch: number;
  readonly stableEpoch: number;
  readonly copiedByMover: number;
  readonly failed: number;
  /** Of the driver to the nodes. */
  readonly requests: number;
}

export type RingChange =
  | { readonly kind: 'add'; readonly node: NodeOptions }
  | { readonly kind: 'remove'; readonly id: string };

const SAMPLE_MS = 50;
const CHUNK = 500;
const FILL_ROUNDS = 30;

let app: App;

async function open(plan: OpenPlan): Promise<void> {
  if (plan.placement === 'modulo') placeByModulo();
  const { nodes } = plan;
  const memory = plan.memory ? {} : false;
  const cache = await createCache({ nodes, memory, namespace: 'bench', ttl: '1h', jitter: 0 });
  app = new App(cache, plan);
}

/** Puts every key into the cache, in its present version, while nobody writes. */
async function fill(): Promise<void> {
  await app.fill();
}

function drive(plan: TrafficPlan): Promise<Seen> {
  return app.drive(plan);
}

function change(plan: RingChange): Promise<Changed> {
  return app.change(plan);
}

async function close(): Promise<void> {
  await app.close();
}

/**
 * How many requests a process sent to nodes besides its batched reads, though
 * nodes leave and their counters with them. How many batches reads make
 * depends on how busy the machine is.
 */
class Requests {
  readonly #last = new Map<string, number>();
  #sum = 0;

  read(nodes: ReturnType<RingCache['stats']>['nodes']): number {
    for (const [id, { scripts }] of Object.entries(nodes)) {
      const before = this.#last.get(id) ?? 0;
      // A node that comes back under its id begins anew.
      this.#sum += scripts < before ? scripts : scripts - before;
      this.#last.set(id, scripts);
    }
    return this.#sum;
  }
}

class App implements Target {
  readonly #cache: RingCache;
  readonly #plan: OpenPlan;
  readonly #database: Database;
  readonly #keys: readonly string[];
  readonly #requests = new Requests();
  /** The last load of a key here, to tell who waited for it. */
  readonly #loaded = new Map<number, { endedAt: number; kind: 'n' | 'x' }>();
  readonly #asking = new Asking();
  #seen: Seen = nothingSeen();

  constructor(cache: RingCache, plan: OpenPlan) {
    this.#cache = cache;
    this.#plan = plan;
    this.#database = new Database(plan.database);
    this.#keys = keysOf(plan.keys);
    const follow = ({ epoch, state }: { epoch: number; state: string }): void => {
      this.#seen.rings.push({ epoch, joint: state === 'joint', at: monotonicMs() });
    };
    cache.on('topology:adopted', follow).on('topology:changed', follow);
  }

  async fill(): Promise<void> {
    let left = this.#keys.map((_, id) => id);
    for (let round = 0; left.length > 0; round++) {
      // On a crowded machine a node may be late for some of them.
      if (round === FILL_ROUNDS) throw new Error(`${left.length} keys could not be cached`);
      if (round > 0) await sleep(100);
      const failed: number[] = [];
      for (let at = 0; at < left.length; at += CHUNK) {
        const ids = left.slice(at, at + CHUNK);
        const versions = await this.#database.cached(ids);
        const entries = ids.map((id, i) => this.#entry(id, versions[i]!));
        const stored = await this.#cache.setMany(entries);
        failed.push(...ids.filter((_, i) => !stored[i]));
      }
      left = failed;
    }
  }

  async drive(plan: TrafficPlan): Promise<Seen> {
    this.#seen = nothingSeen();
    const sampler = setInterval(() => this.#sample(), SAMPLE_MS);
    try {
      await driveTraffic(plan, this);
    } finally {
      clearInterval(sampler);
    }
    this.#sample();
    return this.#seen;
  }

  async change(plan: RingChange): Promise<Changed> {
    const count = (): number => this.#requests.read(this.#cache.stats().nodes);
    // Counted step by step: a node that leaves takes its counters with it.
    const options = { warm: this.#plan.warm, onProgress: count };
    const before = count();
    const startedAt = monotonicMs();
    const { epoch, done } = await (plan.kind === 'add'
      ? this.#cache.addNode(plan.node, options)
      : this.#cache.removeNode(plan.id, options));
    const servesAt = monotonicMs();
    const { epoch: stableEpoch, copied, failed } = await done;
    const doneAt = monotonicMs();
    const requests = count() - before;
    return {
      startedAt,
      servesAt,
      doneAt,
      epoch,
      stableEpoch,
      copiedByMover: copied,
      failed,
      requests,
    };
  }

  async read(id: number, dueAt: number): Promise<void> {
    const { reads } = this.#seen;
    const startedAt = monotonicMs();
    const askedAt = this.#asking.begin(id, startedAt);
    const value = await this.#cache.getOrSet(this.#keys[id]!, () => this.#load(id, startedAt));
    const now = monotonicMs();
    this.#asking.end(id, askedAt);
    const loaded = this.#loaded.get(id);
    reads.id.push(id);
    reads.version.push(value.version);
    reads.dueAt.push(dueAt);
    reads.askedAt.push(askedAt);
    reads.latencyMs.push(now - dueAt);
    reads.kind.push(loaded !== undefined && loaded.endedAt >= startedAt ? loaded.kind : 'h');
  }

  set(id: number): Promise<void> {
    return this.#write(id, async (version) => {
      return this.#cache.set(this.#keys[id]!, this.#valueOf(id, version));
    });
  }

  delete(id: number): Promise<void> {
    return this.#write(id, () => this.#cache.delete(this.#keys[id]!), false);
  }

  async close(): Promise<void> {
    await this.#cache.close();
    this.#database[Symbol.dispose]();
  }

  async #load(id: number, startedAt: number): Promise<Value> {
    const { version, extra } = await this.#database.load(id, startedAt);
    this.#seen.loads.at.push(monotonicMs());
    this.#seen.loads.extra.push(extra);
    // The version is read first: what changes during the load is not in it.
    await sleep(this.#plan.loadMs);
    this.#loaded.set(id, { endedAt: monotonicMs(), kind: extra ? 'x' : 'n' });
    return this.#valueOf(id, version);
  }

  #write(id: number, bring: (version: number) => Promise<boolean>, cached = true): Promise<void> {
    const { writes } = this.#seen;
    return this.#database.write(id, async (version) => {
      this.#asking.forget(id);
      const confirmed = await bring(version);
      if (confirmed) {
        writes.ackedAt.push(monotonicMs());
        writes.id.push(id);
        writes.version.push(version);
      }
      return { confirmed, cached };
    });
  }

  #entry(id: number, version: number): [key: string, value: Value] {
    return [this.#keys[id]!, this.#valueOf(id, version)];
  }

  #valueOf(id: number, version: number): Value {
    const bare = { id, version, note: '' };
    return { ...bare, note: '.'.repeat(this.#plan.valueBytes - JSON.stringify(bare).length) };
  }

  #sample(): void {
    const { nodes, copied } = this.#cache.stats();
    this.#seen.samples.push({ at: monotonicMs(), requests: this.#requests.read(nodes), copied });
  }
}

function nothingSeen(): Seen {
  return {
    reads: { id: [], version: [], dueAt: [], askedAt: [], latencyMs: [], kind: [] },
    loads: { at: [], extra: [] },
    writes: { id: [], version: [], ackedAt: [] },
    samples: [],
    rings: [],
  };
}

const handlers = { open, fill, drive, change, close };
export type RebalanceRow = typeof handlers;
obey(handlers);

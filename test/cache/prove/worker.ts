/** A process of a run: see traffic.ts for what it does all the time, and faults.ts for who asks it what. */
import {
  createCache,
  type NodeOptions,
  type RingCache,
  type TopologyChange,
} from '../../../src/index.ts';
import type { Part } from '../../support/prove/cast.ts';
import { Diary, nowMs } from '../../support/prove/diary.ts';
import { StallWatch } from '../../support/prove/stall-watch.ts';
import { leave, serve } from '../../support/serve.ts';
import type { HistoryEvent } from '../history.ts';
import { randomOf } from '../random.ts';
import { Source } from './source.ts';
import { Traffic } from './traffic.ts';
import { type Weakness, weaken } from './weaken.ts';

/** What is the same for all. */
export interface WorkerPlan {
  readonly nodes: readonly { readonly id: string; readonly url: string }[];
  readonly source: string;
  readonly processes: number;
  readonly hotKeys: number;
  readonly stillKeys: number;
  readonly readsPerSecond: number;
  readonly writesPerSecond: number;
  readonly longestLoadMs: number;
  readonly nodeTimeoutMs: number;
  /** How long it may answer from memory what another process has replaced; 0: it has no memory. */
  readonly maxStaleMs: number;
  readonly weakness: Weakness | undefined;
}

export interface ChangeSpec {
  readonly add: readonly { readonly id: string; readonly url: string; readonly weight: number }[];
  readonly remove: readonly string[];
  readonly weights: Readonly<Record<string, number>>;
  readonly urls: Readonly<Record<string, string>>;
  readonly warm: boolean;
  readonly keysPerSecond: number;
}

export interface Standing {
  readonly epoch: number;
  readonly state: 'stable' | 'joint';
  /** The node that decides about changes. */
  readonly control: string;
  readonly fingerprint: string;
  /** With their weights; those that leave have none any more. */
  readonly members: Readonly<Record<string, number>>;
  /** Nodes that this process cannot use now. */
  readonly down: readonly string[];
}

export interface Account {
  readonly operations: number;
  readonly longestStallMs: number;
}

/** Shorter ones explain nothing. */
const STALL_MS = 50;

const plan = JSON.parse(process.argv[2] ?? '') as WorkerPlan & Part;
const { label: by } = plan;
const diary = new Diary<HistoryEvent>(plan.diary);
const stalls = new StallWatch(({ from, to }) => {
  if (to - from > STALL_MS) diary.write({ kind: 'stall', by, at: from, until: to });
});
const source = new Source(plan.source);
let cache: RingCache | undefined;
let traffic: Traffic | undefined;
let change: TopologyChange | undefined;

process.on('warning', (warning) => {
  diary.write({ kind: 'refused', by, at: nowMs(), why: String(warning) });
});
if (plan.weakness !== undefined) weaken(plan.weakness);

function opened(): RingCache {
  if (cache === undefined) throw new Error('it has not begun');
  return cache;
}

/** The proxies in front of the nodes tell the processes apart by this. */
function seat<T extends object>(node: T): T & { redis: object } {
  return { ...node, redis: { connectionName: by } };
}

function keysOf(kind: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${kind}:${i}`);
}

const handlers = {
  /** Connects, and begins. */
  async begin(): Promise<void> {
    const { nodes, processes, place, nodeTimeoutMs, maxStaleMs } = plan;
    cache = await createCache({
      nodes: nodes.map((node): NodeOptions => seat(node)),
      namespace: 'prove',
      jitter: 0,
      memory: maxStaleMs === 0 ? false : { maxStale: maxStaleMs },
      node: { timeout: nodeTimeoutMs },
      // Short, so that many faults fit into a run.
      breaker: { resetTimeout: 200 },
      // A ring that counts for locks is not forgotten, and there are many rings in a minute here.
      lock: { ttl: 50, maxTtl: 100 },
    });
    const served = (epoch: number): void => {
      diary.write({ kind: 'ring', by, at: nowMs(), epoch });
    };
    for (const event of ['topology:adopted', 'topology:changed'] as const) {
      cache.on(event, ({ epoch }) => served(epoch));
    }
    served(cache.topology.epoch);
    const { readsPerSecond, writesPerSecond, longestLoadMs } = plan;
    traffic = new Traffic({
      ...{ cache, source, diary, by, readsPerSecond, writesPerSecond, longestLoadMs },
      random: randomOf(plan.seed),
      hot: keysOf('hot', plan.hotKeys),
      still: keysOf('still', plan.stillKeys),
      isOwn: (key) => Number(key.split(':')[1]) % processes === place,
    });
    await traffic.fill();
    traffic.begin();
  },

  account: (): Account => ({
    operations: traffic?.operations ?? 0,
    longestStallMs: stalls.longestMs,
  }),

  standing(): Standing {
    const { epoch, state, control, fingerprint, nodes } = opened().topology;
    const members = nodes.filter(({ weight }) => weight > 0);
    return {
      ...{ epoch, state, control, fingerprint },
      members: Object.fromEntries(members.map(({ id, weight }) => [id, weight])),
      down: nodes.filter((node) => node.state !== 'up').map(({ id }) => id),
    };
  },

  /** Resolves when the change is acknowledged: the new ring serves. `finish` waits for its end. */
  async change({ add, remove, weights, urls, ...options }: ChangeSpec): Promise<number> {
    const wanted = { add: add.map((node) => seat(node)), remove, weights, urls };
    change = await opened().changeRing(wanted, options);
    diary.write({ kind: 'change', by, at: nowMs(), epoch: change.epoch });
    return change.epoch;
  },

  /** Finishes what another process has begun, or takes it back; resolves when that is complete. */
  async conclude(how: 'resume' | 'abort'): Promise<void> {
    const cached = opened();
    const concluding = await (how === 'resume' ? cached.resumeChange() : cached.abortChange());
    await concluding?.done;
  },

  async recover(): Promise<void> {
    await opened().recoverTopology();
  },

  /** Rejects when the change was taken back, or another process has gone on with it. */
  async finish(): Promise<number> {
    return (await change?.done)?.epoch ?? 0;
  },

  probe: async (): Promise<string[]> => (await traffic?.probe()) ?? [],

  async end(): Promise<Account> {
    await traffic?.end();
    await cache?.close();
    source.close();
    return handlers.account();
  },

  leave,
};
export type Worker = typeof handlers;

serve(handlers);

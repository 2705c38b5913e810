/** A process of a run: see traffic.ts for what it does all the time, and run.ts for who asks it what. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createCache, type RingCache } from '../../../src/index.ts';
import type { HistoryEvent } from '../../cache/history.ts';
import { Source } from '../../cache/prove/source.ts';
import { randomOf } from '../../cache/random.ts';
import type { Part } from '../../support/prove/cast.ts';
import { Diary, nowMs } from '../../support/prove/diary.ts';
import { StallWatch } from '../../support/prove/stall-watch.ts';
import { leave, serve } from '../../support/serve.ts';
import { Traffic } from './traffic.ts';
import { userAt } from './users.ts';
import { type Weakness, weaken } from './weaken.ts';

/** What is the same for all. */
export interface WorkerPlan {
  readonly nodes: readonly { readonly id: string; readonly url: string }[];
  readonly source: string;
  readonly processes: number;
  readonly keys: number;
  readonly readsPerSecond: number;
  readonly writesPerSecond: number;
  readonly longestLoadMs: number;
  readonly nodeTimeoutMs: number;
  readonly maxStaleMs: number;
  readonly memoryTtlMs: number;
  readonly weakness: Weakness | undefined;
}

export interface Account {
  readonly operations: number;
  readonly longestStallMs: number;
}

/** When a process saw what was written. */
export interface Sighting {
  readonly key: string;
  readonly at: number;
  /** Of the time before it: what the process could not run. */
  readonly stalledMs: number;
}

/** Shorter ones explain nothing. */
const STALL_MS = 50;
const PAUSE_MS = 1;

const plan = JSON.parse(process.argv[2] ?? '') as WorkerPlan & Part;
const { label: by } = plan;
const diary = new Diary<HistoryEvent>(plan.diary);
const stalls = new StallWatch(({ from, to }) => {
  if (to - from > STALL_MS) diary.write({ kind: 'stall', by, at: from, until: to });
});
const source = new Source(plan.source);
let cache: RingCache | undefined;
let traffic: Traffic | undefined;

process.on('warning', (warning) => {
  diary.write({ kind: 'refused', by, at: nowMs(), why: String(warning) });
});
if (plan.weakness !== undefined) weaken(plan.weakness);

function seat({ id, url }: WorkerPlan['nodes'][number]) {
  const own = new URL(url);
  own.username = userAt(plan.place);
  own.password = 'any';
  // The proxies in front of the nodes tell the processes apart by this.
  return { id, url: own.href, redis: { connectionName: by } };
}

/** For whoever reads the history. */
function note(what: string): void {
  diary.write({ kind: 'fault', by, at: nowMs(), what });
}

function opened(): RingCache {
  if (cache === undefined) throw new Error('it has not begun');
  return cache;
}

const handlers = {
  /** Connects, and begins. */
  async begin(): Promise<void> {
    const { maxStaleMs: maxStale, memoryTtlMs: ttl } = plan;
    cache = await createCache({
      nodes: plan.nodes.map(seat),
      namespace: 'prove',
      jitter: 0,
      memory: { maxStale, ttl },
      node: { timeout: plan.nodeTimeoutMs },
      // Short, so that many faults fit into a run.
      breaker: { resetTimeout: 200 },
    });
    for (const event of ['node:down', 'node:up'] as const) {
      cache.on(event, ({ node }) => note(`${event} ${node}`));
    }
    const { readsPerSecond, writesPerSecond, longestLoadMs } = plan;
    traffic = new Traffic({
      ...{ cache, source, diary, by, readsPerSecond, writesPerSecond, longestLoadMs },
      random: randomOf(plan.seed),
      keys: Array.from({ length: plan.keys }, (_, i) => `hot:${i}`),
      isOwn: (key) => Number(key.split(':')[1]) % plan.processes === plan.place,
    });
    traffic.begin();
  },

  account: (): Account => ({
    operations: traffic?.operations ?? 0,
    longestStallMs: stalls.longestMs,
  }),

  /** Nodes that this process cannot use now. */
  down: (): string[] =>
    opened()
      .topology.nodes.filter((node) => node.state !== 'up')
      .map(({ id }) => id),

  /** No more reads and writes but those it is asked for. */
  quiet: async (): Promise<void> => traffic?.end(),

  /** Resolves when it was acknowledged, to the time; undefined: it was not. */
  async write(key: string, version: number): Promise<number | undefined> {
    const taken = await opened().set(key, { version });
    return taken ? nowMs() : undefined;
  },

  /** Reads the keys until memory holds this version of all; resolves to those of which it does not. */
  async learn(keys: readonly string[], version: number, withinMs: number): Promise<string[]> {
    const end = nowMs() + withinMs;
    for (let left = [...keys]; ; ) {
      await Promise.all(left.map((key) => opened().get(key)));
      left = left.filter((key) => !isVersion(opened().peek(key), version));
      if (left.length === 0 || nowMs() > end) return left;
      await sleep(PAUSE_MS);
    }
  },

  /** Resolves when memory shows nothing else than `version`, if anything, of any of the keys. */
  async watch(keys: readonly string[], version: number, withinMs: number): Promise<Sighting[]> {
    const from = nowMs();
    const seen: Sighting[] = [];
    for (let left = [...keys]; left.length > 0; await sleep(PAUSE_MS)) {
      const at = nowMs();
      left = left.filter((key) => {
        const held = opened().peek(key);
        const isOld = held !== undefined && !isVersion(held, version);
        if (isOld && at - from < withinMs) return true;
        seen.push({ key, at, stalledMs: stalls.since(from) });
        return false;
      });
    }
    return seen;
  },

  async end(): Promise<Account> {
    await traffic?.end();
    await cache?.close();
    source.close();
    return handlers.account();
  },

  leave,
};
export type Worker = typeof handlers;

function isVersion(held: unknown, version: number): boolean {
  return (held as { version: number } | undefined)?.version === version;
}

serve(handlers);

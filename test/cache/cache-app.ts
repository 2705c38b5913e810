/** A process with a cache of its own: what several processes do to one key can be seen only with several. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type CacheOptions,
  createCache,
  type EntryOptions,
  type RingCache,
  type Stats,
  type TopologyStatus,
} from '../../src/index.ts';
import { serve } from '../support/serve.ts';

let cache: RingCache;
let loads = 0;
const events: { name: string; said: unknown }[] = [];
const rejections: string[] = [];
const held = new Map<string, { finish(value: unknown): void; result: Promise<unknown> }>();

process.on('unhandledRejection', (error) => rejections.push(String(error)));
process.on('warning', (warning) => rejections.push(String(warning)));

export interface StampedePlan {
  readonly key: string;
  readonly callers: number;
  readonly loadMs: number;
  readonly value: unknown;
  /** All processes begin at this time of the wall clock. */
  readonly at: number;
  /** The load fails after this long instead. */
  readonly failure?: string;
}

export interface StampedeResult {
  readonly values: unknown[];
  readonly errors: string[];
  /** When each load of this process began and ended, in wall clock time. */
  readonly loads: { began: number; ended: number }[];
  readonly slowestMs: number;
}

async function stampede(plan: StampedePlan): Promise<StampedeResult> {
  const ran: { began: number; ended: number }[] = [];
  const loader = async (): Promise<unknown> => {
    const run = { began: Date.now(), ended: Number.POSITIVE_INFINITY };
    ran.push(run);
    await sleep(plan.loadMs);
    run.ended = Date.now();
    if (plan.failure !== undefined) throw new Error(plan.failure);
    return plan.value;
  };
  await sleep(Math.max(0, plan.at - Date.now()));
  const start = performance.now();
  let slowestMs = 0;
  const calls = Array.from({ length: plan.callers }, async () => {
    try {
      return await cache.getOrSet(plan.key, loader);
    } finally {
      slowestMs = Math.max(slowestMs, performance.now() - start);
    }
  });
  const settled = await Promise.allSettled(calls);
  const values = new Set(settled.flatMap((s) => (s.status === 'fulfilled' ? [s.value] : [])));
  const errors = new Set(
    settled.flatMap((s) => (s.status === 'rejected' ? [s.reason.message] : [])),
  );
  return { values: [...values], errors: [...errors], loads: ran, slowestMs };
}

/** Resolves when the loader runs; it stays open until `finishLoad`. */
function beginLoad(key: string, options?: EntryOptions): Promise<void> {
  return new Promise((begun) => {
    const end = Promise.withResolvers<unknown>();
    const result = cache.getOrSet(
      key,
      () => {
        loads += 1;
        begun();
        return end.promise;
      },
      options,
    );
    result.catch(() => undefined);
    held.set(key, { finish: end.resolve, result });
  });
}

const traffic = { reads: 0, loads: 0, errors: [] as string[], wrong: 0, running: false };
let outstanding = 0;

/** Reads keys whose value everybody knows, about 5,000 times a second, however long an answer takes. */
async function runTraffic(keys: string[]): Promise<void> {
  for (let i = 0; traffic.running; ) {
    for (let burst = 0; burst < 5; burst += 1, i += 1) {
      const key = keys[(i * 7919) % keys.length] ?? '';
      outstanding += 1;
      const load = (): string => {
        traffic.loads += 1;
        return `value of ${key}`;
      };
      cache
        .getOrSet(key, load)
        .then(
          (value) => {
            traffic.reads += 1;
            if (value !== `value of ${key}`) traffic.wrong += 1;
          },
          (error: unknown) => traffic.errors.push(String(error)),
        )
        .finally(() => {
          outstanding -= 1;
        });
    }
    await sleep(1);
  }
}

const handlers = {
  startTraffic(keys: string[]): void {
    traffic.running = true;
    void runTraffic(keys);
  },
  async stopTraffic(): Promise<typeof traffic> {
    traffic.running = false;
    while (outstanding > 0) await sleep(5);
    return traffic;
  },
  async open(options: CacheOptions): Promise<void> {
    cache = await createCache(options);
    for (const name of ['topology:adopted', 'topology:changed', 'load:failed'] as const) {
      cache.on(name, (said: unknown) => events.push({ name, said }));
    }
  },
  stampede,
  beginLoad,
  /** What the caller of the held load got. */
  finishLoad(key: string, value: unknown): Promise<unknown> | undefined {
    held.get(key)?.finish(value);
    return held.get(key)?.result;
  },
  getOrSet(key: string, value: unknown, options?: EntryOptions & { loadMs?: number }) {
    const { loadMs, ...rest } = options ?? {};
    return cache.getOrSet(
      key,
      async () => {
        loads += 1;
        if (loadMs !== undefined) await sleep(loadMs);
        return value;
      },
      rest,
    );
  },
  getOrSetMany(keys: string[], loadMs: number) {
    return cache.getOrSetMany(keys, async (missing) => {
      loads += missing.length;
      await sleep(loadMs);
      return missing.map((key) => `value of ${key}`);
    });
  },
  get: (key: string) => cache.get(key),
  set: (key: string, value: unknown, options?: EntryOptions) => cache.set(key, value, options),
  delete: (key: string) => cache.delete(key),
  deleteByTag: (tags: string | string[]) => cache.deleteByTag(tags),
  clear: () => cache.clear(),
  peek: (key: string) => cache.peek(key),
  loads: () => loads,
  events: () => events,
  rejections: () => rejections,
  stats: (): Stats => cache.stats(),
  topology: (): TopologyStatus => cache.topology,
  async addNode(node: { id: string; url: string }, keysPerSecond: number): Promise<number> {
    return (await cache.addNode(node, { keysPerSecond })).epoch;
  },
  /** Lets the process end as soon as nothing but this channel keeps it alive. */
  async leave(work: 'close' | 'dispose' | 'none' = 'close'): Promise<void> {
    if (work === 'close') await cache.close();
    if (work === 'dispose') await cache[Symbol.asyncDispose]();
    setImmediate(() => process.channel?.unref());
  },
};
export type CacheApp = typeof handlers;

serve(handlers);

/** One row of the memory-hit benchmark, in a process of its own. */

import { LRUCache } from 'lru-cache';
import { createCache } from '../src/index.ts';
import { obey, type Spent, spend } from './child.ts';
import { type Item, itemOf, keysOf } from './keys.ts';
import { seededRandom, seededZipf } from './random.ts';

/** A cache, full: every key is in memory. */
interface Subject {
  get(key: string, load: () => Promise<Item>): Item | undefined | Promise<Item | undefined>;
}

interface Setting {
  readonly capacity: number;
  /** A Redis server, for the cache that cannot be without one. */
  readonly url: string;
  readonly items: ReadonlyMap<string, Item>;
}

const HOUR_MS = 3_600_000;

/** Of each cache the documented call, in its default form. All expire, none of them within the run. */
const OPENERS: Readonly<Record<string, (setting: Setting) => Subject | Promise<Subject>>> = {
  'lru-async': ({ capacity }) => {
    const lru = new LRUCache<string, Item>({ max: capacity, ttl: HOUR_MS });
    const getOrSet = async (key: string, load: () => Promise<Item>): Promise<Item> => {
      const held = lru.get(key);
      if (held !== undefined) return held;
      const item = await load();
      lru.set(key, item);
      return item;
    };
    return { get: getOrSet };
  },
  ours: async (setting) => {
    const cache = await ours(setting);
    return { get: (key, load) => cache.getOrSet(key, load) };
  },
  'layered-loader': async (setting) => {
    const loader = await layeredLoader(setting);
    return { get: (key) => loader.get(key) as Promise<Item | undefined> };
  },
  cachified: async ({ capacity }) => {
    const { cachified } = await import('@epic-web/cachified');
    const cache = new LRUCache<string, object>({ max: capacity }) as never;
    return {
      get: (key, load) => cachified({ key, cache, ttl: HOUR_MS, getFreshValue: load }),
    };
  },
  'cache-manager': async () => {
    const { createCache: create } = await import('cache-manager');
    const cache = create({ ttl: HOUR_MS });
    return { get: (key, load) => cache.wrap(key, load) };
  },
  bentocache: async ({ capacity }) => {
    const { BentoCache, bentostore } = await import('bentocache');
    const { memoryDriver } = await import('bentocache/drivers/memory');
    const l1 = memoryDriver({ maxItems: capacity });
    const stores = { only: bentostore().useL1Layer(l1) };
    const bento = new BentoCache({ default: 'only', ttl: '1h', stores });
    return { get: (key, load) => bento.getOrSet({ key, factory: load }) };
  },
  cacheable: async () => {
    const { Cacheable } = await import('cacheable');
    const cache = new Cacheable({ ttl: HOUR_MS });
    return { get: (key, load) => cache.getOrSet(key, load) };
  },
  'lru-sync': ({ capacity, items }) => {
    const lru = new LRUCache<string, Item>({ max: capacity, ttl: HOUR_MS });
    for (const [key, item] of items) lru.set(key, item);
    return { get: (key) => lru.get(key) };
  },
  'ours-sync': async (setting) => {
    const cache = await ours(setting);
    await fill(setting.items, (key, load) => cache.getOrSet(key, load));
    return { get: (key) => cache.peek<Item>(key) };
  },
  'layered-loader-sync': async (setting) => {
    const loader = await layeredLoader(setting);
    for (const key of setting.items.keys()) await loader.get(key);
    return { get: (key) => loader.getInMemoryOnly(key) ?? undefined };
  },
};

async function ours({ capacity, url }: Setting): ReturnType<typeof createCache> {
  const memory = { maxEntries: capacity, maxBytes: 2 ** 30, ttl: HOUR_MS, maxStale: HOUR_MS };
  const node = { timeout: 10_000 }; // it is filled in one go
  // Two rows fill a cache: what one writes is told to all of its namespace.
  const namespace = `row-${process.pid}`;
  return createCache({ nodes: [url], namespace, memory, node, jitter: 0 });
}

async function layeredLoader({ capacity, items }: Setting) {
  const { Loader } = await import('layered-loader/core');
  return new Loader<Item>({
    inMemoryCache: { cacheType: 'lru-map', ttlInMsecs: HOUR_MS, maxItems: capacity },
    dataSourceGetOneFn: async (key) => items.get(key),
  });
}

let keys: string[] = [];
let subject: Subject;
let loads = 0;
const orders: Record<string, Uint32Array> = {};

async function open(plan: { row: string; url: string; keys: number; hot: number }): Promise<void> {
  keys = keysOf(plan.keys);
  const items = new Map(keys.map((key, id) => [key, itemOf(id)]));
  const opener = OPENERS[plan.row];
  if (opener === undefined) throw new Error(`no row ${plan.row}`);
  subject = await opener({ capacity: plan.keys * 2, url: plan.url, items });
  await fill(items, (key, load) => subject.get(key, load));
  const random = seededRandom(plan.hot);
  const zipf = seededZipf(plan.keys, 0.99, plan.keys);
  const size = 2 ** 17;
  orders['hot'] = Uint32Array.from({ length: size }, () => Math.floor(random() * plan.hot));
  orders['all'] = Uint32Array.from({ length: size }, zipf);
  await check(items);
}

/** By loading, key by key: whatever a cache stores, it stores as it likes. */
async function fill(items: ReadonlyMap<string, Item>, get: Subject['get']): Promise<void> {
  const entries = [...items];
  for (let from = 0; from < entries.length; from += 1_000) {
    const some = entries.slice(from, from + 1_000);
    await Promise.all(some.map(async ([key, item]) => get(key, async () => item)));
  }
}

async function check(items: ReadonlyMap<string, Item>): Promise<void> {
  for (const [key, item] of items) {
    const got = await subject.get(key, miss);
    if (JSON.stringify(got) !== JSON.stringify(item)) throw new Error(`${key}: wrong value`);
  }
}

async function miss(): Promise<never> {
  loads++;
  throw new Error('a hit was expected');
}

function round(ask: { set: string; operations: number; sync: boolean }): Promise<Spent> {
  const order = orders[ask.set];
  if (order === undefined) throw new Error(`no keys ${ask.set}`);
  return spend(() => (ask.sync ? sumNow : sumAwaited)(order, ask.operations));
}

/** The loader is a closure made for the call, as in applications. */
async function sumAwaited(order: Uint32Array, operations: number): Promise<number> {
  let sum = 0;
  for (let i = 0; i < operations; i++) {
    const key = keys[order[i & (order.length - 1)]!]!;
    const item = await subject.get(key, () => miss());
    sum = (sum + item!.id) | 0;
  }
  return sum + loads;
}

function sumNow(order: Uint32Array, operations: number): number {
  let sum = 0;
  for (let i = 0; i < operations; i++) {
    const key = keys[order[i & (order.length - 1)]!]!;
    sum = (sum + (subject.get(key, miss) as Item).id) | 0;
  }
  return sum + loads;
}

const handlers = { open, round };
export type MemoryHitRow = typeof handlers;
obey(handlers);

/** One row of the reads benchmark, in a process of its own: a client or cache over one or more Redis servers. */

import { Redis } from 'ioredis';
import { createCache } from '../src/index.ts';
import { HashRing } from '../src/ring/ring.ts';
import { obey, type Spent, spend } from './child.ts';
import { type Item, itemOf, keysOf } from './keys.ts';
import { seededRandom } from './random.ts';

/** A client or cache of one server. */
interface Subject {
  get(key: string): Promise<Item | null | undefined>;
  getMany?(keys: string[]): Promise<readonly (Item | null | undefined)[]>;
  /** As its own reads find it. */
  set(key: string, item: Item): Promise<unknown>;
}

const HOUR_MS = 3_600_000;
/** Next to nothing: every read goes to its node, and is put into memory. */
const FEW_ENTRIES = 100;
/** On a busy machine a server may get no processor for longer than the default budget of 100 ms. */
const NODE = { timeout: 10_000 };

const OPENERS: Readonly<Record<string, (url: string) => Subject | Promise<Subject>>> = {
  ioredis: (url) => plainRedis(new Redis(url), 'plain:'),
  'ioredis-auto': (url) => plainRedis(new Redis(url, { enableAutoPipelining: true }), 'auto:'),
  'node-redis': async (url) => {
    const { createClient } = await import('redis');
    const client = await createClient({ url }).connect();
    return {
      get: async (key) => parse(await client.get(`node:${key}`)),
      set: (key, item) => client.set(`node:${key}`, JSON.stringify(item)),
    };
  },
  'bentocache-remote': (url) => bentocache(url, 'remote'),
  'bentocache-two': (url) => bentocache(url, 'two'),
  'layered-loader-two': async (url) => {
    const { Loader, RedisCache } = await import('layered-loader');
    const loader = new Loader<Item>({
      inMemoryCache: { cacheType: 'lru-map', ttlInMsecs: HOUR_MS, maxItems: FEW_ENTRIES },
      asyncCache: new RedisCache<Item>(new Redis(url), {
        json: true,
        prefix: 'layered',
        ttlInMsecs: HOUR_MS,
      }),
      dataSourceGetOneFn: miss,
    });
    return {
      get: (key) => loader.get(key),
      set: (key, item) => loader.forceSetValue(key, item),
    };
  },
};

/** Ours places the keys itself; the others are given a ring of ours, so that all do the same. */
const SHARDED: Readonly<Record<string, (urls: readonly string[]) => Promise<Subject>>> = {
  'ours-remote': async (urls) => {
    const options = { namespace: 'remote', ttl: '1h', memory: false, node: NODE } as const;
    const cache = await createCache({ nodes: urls, ...options });
    return {
      get: (key) => cache.get<Item>(key),
      getMany: (keys) => cache.getMany<Item>(keys),
      set: (key, item) => cache.set(key, item),
    };
  },
  'ours-two': async (urls) => {
    const memory = { maxEntries: FEW_ENTRIES, maxStale: '1h' };
    const options = { namespace: 'two', ttl: '1h', memory, node: NODE };
    const cache = await createCache({ nodes: urls, ...options });
    return {
      get: (key) => cache.getOrSet<Item>(key, miss),
      set: (key, item) => cache.set(key, item),
    };
  },
};

function plainRedis(redis: Redis, prefix: string): Subject {
  return {
    get: async (key) => parse(await redis.get(prefix + key)),
    getMany: async (keys) => (await redis.mget(keys.map((key) => prefix + key))).map(parse),
    set: (key, item) => redis.set(prefix + key, JSON.stringify(item)),
  };
}

async function bentocache(url: string, tiers: 'remote' | 'two'): Promise<Subject> {
  const { BentoCache, bentostore } = await import('bentocache');
  const { memoryDriver } = await import('bentocache/drivers/memory');
  const { redisDriver } = await import('bentocache/drivers/redis');
  const remote = bentostore().useL2Layer(
    redisDriver({ connection: new Redis(url) as never, prefix: `bento-${tiers}` }),
  );
  const only =
    tiers === 'two' ? remote.useL1Layer(memoryDriver({ maxItems: FEW_ENTRIES })) : remote;
  const bento = new BentoCache({ default: 'only', ttl: '1h', stores: { only } });
  return {
    get: (key) =>
      tiers === 'two' ? bento.getOrSet({ key, factory: miss }) : bento.get<Item>({ key }),
    set: (key, item) => bento.set({ key, value: item }),
  };
}

function parse(text: string | null): Item | null {
  return text === null ? null : (JSON.parse(text) as Item);
}

async function miss(): Promise<never> {
  throw new Error('every key is stored');
}

async function openRow(row: string, urls: readonly string[]): Promise<Subject> {
  const sharded = SHARDED[row];
  if (sharded !== undefined) return sharded(urls);
  const opener = OPENERS[row];
  if (opener === undefined) throw new Error(`no row ${row}`);
  const subjects = await Promise.all(urls.map(async (url) => opener(url)));
  const [only] = subjects;
  if (only !== undefined && subjects.length === 1) return only;
  const ring = await HashRing.create(urls.map((url) => ({ id: new URL(url).host })));
  const owner = (key: string): Subject => subjects[ring.indexAt(ring.hash(key))]!;
  return {
    get: (key) => owner(key).get(key),
    set: (key, item) => owner(key).set(key, item),
  };
}

let keys: string[] = [];
let subject: Subject;
let order = new Uint32Array();

async function open(plan: { row: string; urls: string[]; keys: number }): Promise<void> {
  keys = keysOf(plan.keys);
  subject = await openRow(plan.row, plan.urls);
  for (let from = 0; from < keys.length; from += 500) {
    const some = keys.slice(from, from + 500);
    await Promise.all(some.map((key, i) => subject.set(key, itemOf(from + i))));
  }
  const random = seededRandom(plan.keys);
  // Evenly: by Zipf's law a memory of 100 entries would answer every third read.
  order = Uint32Array.from({ length: 2 ** 17 }, () => Math.floor(random() * plan.keys));
  await check();
}

async function check(): Promise<void> {
  for (const [id, key] of keys.slice(0, 200).entries()) {
    const wanted = JSON.stringify(itemOf(id));
    const [many] = (await subject.getMany?.([key])) ?? [itemOf(id)];
    if (JSON.stringify(await subject.get(key)) !== wanted || JSON.stringify(many) !== wanted) {
      throw new Error(`${key}: wrong value`);
    }
  }
}

interface Load {
  readonly operations: number;
  /** Callers, each of which waits for its answer before it asks again. */
  readonly inFlight: number;
  /** Keys of one call; 0: `get`. */
  readonly many: number;
}

function round(load: Load): Promise<Spent> {
  return spend(() => (load.many > 0 ? sumMany(load) : sumSingle(load)));
}

async function sumSingle({ operations, inFlight }: Load): Promise<number> {
  let sum = 0;
  let next = 0;
  const caller = async (): Promise<void> => {
    while (next < operations) {
      const item = await subject.get(keyAt(next++));
      sum = (sum + item!.id) | 0;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, caller));
  return sum;
}

async function sumMany({ operations, inFlight, many }: Load): Promise<number> {
  let sum = 0;
  let next = 0;
  const caller = async (): Promise<void> => {
    while (next < operations) {
      const wanted = Array.from({ length: many }, () => keyAt(next++));
      for (const item of (await subject.getMany?.(wanted)) ?? []) sum = (sum + item!.id) | 0;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, caller));
  return sum;
}

function keyAt(turn: number): string {
  return keys[order[turn & (order.length - 1)]!]!;
}

const handlers = { open, round };
export type ReadsRow = typeof handlers;
obey(handlers);

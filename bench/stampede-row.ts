/** One of the processes of the stampede benchmark: a cache, and all who ask it at once. */

import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { createCache } from '../src/index.ts';
import { quantile } from './bench.ts';
import { obey } from './child.ts';
import { type Item, itemOf } from './keys.ts';

type Load = () => Promise<Item>;
type Get = (key: string, load: Load) => Promise<Item | null | undefined>;

const HOUR_MS = 3_600_000;

/** Each with a tier in the process, Redis behind it, and its defaults. */
const OPENERS: Readonly<Record<string, (url: string) => Get | Promise<Get>>> = {
  ours: async (url) => {
    // On a busy machine a server may get no processor for longer than the default of 100 ms.
    const cache = await createCache({ nodes: [url], ttl: '1h', node: { timeout: 5_000 } });
    return (key, load) => cache.getOrSet(key, load);
  },
  'layered-loader': async (url) => {
    const { Loader, RedisCache } = await import('layered-loader');
    const loads = new Map<string, Load>();
    const asyncCache = new RedisCache<Item>(new Redis(url), {
      json: true,
      prefix: 'layered',
      ttlInMsecs: HOUR_MS,
    });
    const loader = new Loader<Item>({
      inMemoryCache: { cacheType: 'lru-map', ttlInMsecs: HOUR_MS, maxItems: 1_000 },
      asyncCache,
      dataSourceGetOneFn: async (key) => loads.get(key)?.(),
    });
    return (key, load) => {
      loads.set(key, load);
      return loader.get(key);
    };
  },
  bentocache: async (url) => {
    const { BentoCache, bentostore } = await import('bentocache');
    const { memoryDriver } = await import('bentocache/drivers/memory');
    const { redisDriver } = await import('bentocache/drivers/redis');
    const remote = redisDriver({ connection: new Redis(url) as never, prefix: 'bento' });
    const only = bentostore()
      .useL1Layer(memoryDriver({ maxItems: 1_000 }))
      .useL2Layer(remote);
    const bento = new BentoCache({ default: 'only', ttl: '1h', stores: { only } });
    return (key, load) => bento.getOrSet({ key, factory: load });
  },
  cachified: async (url) => {
    const { cachified } = await import('@epic-web/cachified');
    const redis = new Redis(url);
    const cache = {
      get: async (key: string) => JSON.parse((await redis.get(`cachified:${key}`)) ?? 'null'),
      set: (key: string, entry: object) =>
        redis.set(`cachified:${key}`, JSON.stringify(entry), 'PX', HOUR_MS),
      delete: (key: string) => redis.del(`cachified:${key}`),
    };
    return (key, load) => cachified({ key, cache, ttl: HOUR_MS, getFreshValue: load });
  },
};

let get: Get;

async function open(plan: { row: string; url: string }): Promise<void> {
  const opener = OPENERS[plan.row];
  if (opener === undefined) throw new Error(`no row ${plan.row}`);
  get = await opener(plan.url);
  // One load of each, so that nothing is done for the first time when it counts.
  await get(`warm-up:${process.pid}`, async () => itemOf(0));
}

/** What one process saw of a stampede. */
export interface Seen {
  readonly loads: number;
  /** From the common start on. */
  readonly allServedMs: number;
  readonly medianMs: number;
  /** Whether everybody got the value. */
  readonly right: boolean;
}

async function rush(plan: {
  key: string;
  id: number;
  callers: number;
  loadMs: number;
  /** By the clock that the processes of a machine share. */
  startAt: number;
}): Promise<Seen> {
  const item = itemOf(plan.id);
  let loads = 0;
  const load = async (): Promise<Item> => {
    loads++;
    await sleep(plan.loadMs);
    return item;
  };
  await sleep(Math.max(0, plan.startAt - Date.now()));
  const servedMs: number[] = [];
  let right = true;
  const caller = async (): Promise<void> => {
    const got = await get(plan.key, load);
    servedMs.push(Date.now() - plan.startAt);
    if (got?.id !== plan.id) right = false;
  };
  await Promise.all(Array.from({ length: plan.callers }, caller));
  return { loads, right, allServedMs: Math.max(...servedMs), medianMs: quantile(servedMs, 0.5) };
}

const handlers = { open, rush };
export type StampedeRow = typeof handlers;
obey(handlers);

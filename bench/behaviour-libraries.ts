/**
 * The caches whose behaviour is compared, each set up as its own documentation
 * says for memory in front of Redis and for several processes, with defaults
 * wherever it does not name a value.
 *
 * A default may be the wrong choice for a scenario where an option is the right
 * one: what fails runs again with the options named here, and passes "with" them.
 */

import { Redis } from 'ioredis';
import { createCache } from '../src/index.ts';

/** What one of them can do, with one loader for all keys. */
export interface Subject {
  getOrSet(key: string): Promise<unknown>;
  get?(key: string): Promise<unknown>;
  /** A read with a function for its default, where that is another method. */
  getOr?(key: string, fallback: () => unknown): Promise<unknown>;
  set?(key: string, value: unknown): Promise<unknown>;
  delete(key: string): Promise<unknown>;
}

export interface Setup {
  readonly url: string;
  load(key: string): Promise<unknown>;
  /** Which of the library's options differ from its defaults: a name of `variants`. */
  readonly variant?: string;
}

export interface Library {
  /** As on npm. */
  readonly name: string;
  /** How it is set up here, for the reader of the table. */
  readonly setUp: string;
  /** What a scenario may need and this one does not have, and why. */
  readonly lacks: Readonly<Partial<Record<Need, string>>>;
  /** Options that are tried where the defaults fail, by scenario. */
  readonly variants?: Readonly<Record<string, string>>;
  open(setup: Setup): Promise<Subject> | Subject;
}

export type Need = 'set' | 'memory' | 'jitter';

/** Entries that may be in memory. */
export const MEMORY_ENTRIES = 50;
/** Longer than all scenarios together, for both tiers. */
const TTL_MS = 600_000;

const NO_JITTER = 'has no jitter';
const ONE_TIER = 'has no memory in front of Redis';
/** An option of the client, not of the library; no documentation of theirs names it. */
const COMMAND_TIMEOUT = 'ioredis commandTimeout';

const ours: Library = {
  name: 'ringcache',
  setUp: '`createCache({ nodes })`',
  lacks: {},
  open: async ({ url, load }) => {
    const cache = await createCache({
      nodes: [{ id: 'a', url }],
      ttl: TTL_MS,
      memory: { maxEntries: MEMORY_ENTRIES, ttl: TTL_MS },
      // On a busy machine a server may get no processor for longer than the default of 100 ms.
      node: { timeout: 400 },
    });
    return {
      getOrSet: (key) => cache.getOrSet(key, () => load(key)),
      get: (key) => cache.get(key),
      set: (key, value) => cache.set(key, value),
      delete: (key) => cache.delete(key),
    };
  },
};

const bentocache: Library = {
  name: 'bentocache',
  setUp: 'memory and Redis drivers, and its Redis bus',
  lacks: { jitter: NO_JITTER },
  variants: { hanging: COMMAND_TIMEOUT },
  open: async ({ url, load, variant }) => {
    const { BentoCache, bentostore } = await import('bentocache');
    const { memoryDriver } = await import('bentocache/drivers/memory');
    const { redisBusDriver, redisDriver } = await import('bentocache/drivers/redis');
    const only = bentostore()
      .useL1Layer(memoryDriver({ maxItems: MEMORY_ENTRIES }))
      .useL2Layer(redisDriver({ connection: redisOf(url, variant) as never, prefix: 'bento' }))
      .useBus(redisBusDriver({ connection: addressOf(url) }));
    const bento = new BentoCache({ default: 'only', ttl: TTL_MS, stores: { only } });
    return {
      getOrSet: (key) => bento.getOrSet({ key, factory: () => load(key) }),
      get: (key) => bento.get({ key }),
      getOr: (key, fallback) => bento.get({ key, defaultValue: fallback }),
      set: (key, value) => bento.set({ key, value }),
      delete: (key) => bento.delete({ key }),
    };
  },
};

const cacheable: Library = {
  name: 'cacheable',
  setUp: '`primary` memory with `lruSize`, `secondary` `@keyv/redis`, `sync` over `@qified/redis`',
  lacks: { jitter: NO_JITTER },
  variants: { 'loader-error': 'throwErrors', hanging: 'nonBlocking' },
  open: async ({ url, load, variant }) => {
    const { Cacheable, createKeyv } = await import('cacheable');
    const redis = await import('@keyv/redis');
    const { RedisMessageProvider } = await import('@qified/redis');
    const nonBlocking = variant === 'nonBlocking';
    const qified = new RedisMessageProvider({ uri: url });
    const cache = new Cacheable({
      primary: createKeyv({ ttl: TTL_MS, lruSize: MEMORY_ENTRIES }),
      secondary: nonBlocking ? redis.createKeyvNonBlocking(url) : redis.createKeyv(url),
      sync: { qified: [qified] },
      nonBlocking,
      ttl: TTL_MS,
    });
    cache.on('error', () => {});
    const options = variant === 'throwErrors' ? { throwErrors: true } : {};
    return {
      getOrSet: (key) => cache.getOrSet(key, () => load(key), options),
      get: (key) => cache.get(key),
      set: (key, value) => cache.set(key, value),
      delete: (key) => cache.delete(key),
    };
  },
};

const cacheManager: Library = {
  name: 'cache-manager',
  setUp: '`stores`: `CacheableMemory` and `@keyv/redis`; it has no bus',
  lacks: { jitter: NO_JITTER },
  variants: { hanging: 'nonBlocking' },
  open: async ({ url, load, variant }) => {
    const manager = await import('cache-manager');
    const { createKeyv } = await import('cacheable');
    const redis = await import('@keyv/redis');
    const nonBlocking = variant === 'nonBlocking';
    const remote = nonBlocking ? redis.createKeyvNonBlocking(url) : redis.createKeyv(url);
    remote.on('error', () => {});
    const cache = manager.createCache({
      stores: [createKeyv({ ttl: TTL_MS, lruSize: MEMORY_ENTRIES }), remote],
      ttl: TTL_MS,
      nonBlocking,
    });
    return {
      getOrSet: (key) => cache.wrap(key, () => load(key)),
      get: (key) => cache.get(key),
      set: (key, value) => cache.set(key, value),
      delete: (key) => cache.del(key),
    };
  },
};

const cachified: Library = {
  name: '@epic-web/cachified',
  setUp: 'over Redis, as its adapters do it; values are set and deleted through the adapter',
  lacks: { memory: ONE_TIER, jitter: NO_JITTER },
  variants: { hanging: COMMAND_TIMEOUT },
  open: async ({ url, load, variant }) => {
    const { cachified: read, createCacheEntry } = await import('@epic-web/cachified');
    const redis = redisOf(url, variant);
    const cache = {
      get: async (key: string) => JSON.parse((await redis.get(`cachified:${key}`)) ?? 'null'),
      set: (key: string, entry: object) =>
        redis.set(`cachified:${key}`, JSON.stringify(entry), 'PX', TTL_MS),
      delete: (key: string) => redis.del(`cachified:${key}`),
    };
    return {
      getOrSet: (key) => read({ key, cache, ttl: TTL_MS, getFreshValue: () => load(key) }),
      get: async (key) => (await cache.get(key))?.value,
      set: (key, value) => cache.set(key, createCacheEntry(value, { ttl: TTL_MS })),
      delete: (key) => cache.delete(key),
    };
  },
};

const layeredLoader: Library = {
  name: 'layered-loader',
  setUp: '`inMemoryCache`, `RedisCache` with `json`, and `createNotificationPair`',
  lacks: { jitter: NO_JITTER },
  variants: { hanging: 'timeoutInMsecs' },
  open: async ({ url, load, variant }) => {
    const { createNotificationPair, Loader, RedisCache } = await import('layered-loader');
    const { publisher, consumer } = createNotificationPair<unknown>({
      channel: 'layered',
      consumerRedis: redisOf(url),
      publisherRedis: redisOf(url),
    });
    const asyncCache = new RedisCache<unknown>(redisOf(url), {
      json: true,
      prefix: 'layered',
      ttlInMsecs: TTL_MS,
      ...(variant === 'timeoutInMsecs' ? { timeoutInMsecs: CLIENT_TIMEOUT_MS } : {}),
    });
    const loader = new Loader<unknown>({
      inMemoryCache: { cacheType: 'lru-map', ttlInMsecs: TTL_MS, maxItems: MEMORY_ENTRIES },
      asyncCache,
      notificationConsumer: consumer,
      notificationPublisher: publisher,
      dataSourceGetOneFn: load,
      // By default it prints them.
      cacheUpdateErrorHandler: () => {},
      loadErrorHandler: () => {},
    });
    await loader.init();
    return {
      getOrSet: (key) => loader.get(key),
      set: (key, value) => loader.forceSetValue(key, value),
      delete: (key) => loader.invalidateCacheFor(key),
    };
  },
};

const asyncCacheDedupe: Library = {
  name: 'async-cache-dedupe',
  setUp: '`storage: redis`; it is memory or Redis',
  lacks: { set: 'stores what it has loaded only', memory: ONE_TIER, jitter: NO_JITTER },
  variants: { hanging: COMMAND_TIMEOUT },
  open: async ({ url, load, variant }) => {
    const dedupe = await import('async-cache-dedupe');
    const client = redisOf(url, variant);
    const cache = dedupe
      .createCache({ ttl: TTL_MS / 1000, storage: { type: 'redis', options: { client } } })
      .define('value', (key: string) => load(key));
    return {
      getOrSet: (key) => cache.value(key),
      delete: (key) => cache.clear('value', key),
    };
  },
};

export const libraries: readonly Library[] = [
  ours,
  bentocache,
  cacheable,
  cacheManager,
  cachified,
  layeredLoader,
  asyncCacheDedupe,
];

const CLIENT_TIMEOUT_MS = 100;

function redisOf(url: string, variant?: string): Redis {
  const redis = new Redis(
    url,
    variant === COMMAND_TIMEOUT ? { commandTimeout: CLIENT_TIMEOUT_MS } : {},
  );
  redis.on('error', () => {});
  return redis;
}

function addressOf(url: string): { host: string; port: number } {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port) };
}

/**
 * What the caches of the rebalancing benchmark stand in front of: a Redis of
 * its own with a version for every key. Every process uses the same one, so it
 * also knows, of each load, whether it had to be.
 *
 * A load is *extra* when the value had been put into the cache since it last
 * changed: by a set, by an earlier load, or when the scenario began. The others
 * are those that a delete asks for, and would be there without a change of the
 * ring. While in doubt (the key is being written, or the read began before the
 * last write was through) a load counts as needed.
 */

import { Redis } from 'ioredis';

// A key that has no row yet has version 0 and is in the cache.
const BEGIN = `
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HSET', KEYS[1], 'writing', 1, 'cached', 0)
return version`;

const END = `
redis.call('HSET', KEYS[1], 'writing', 0, 'cached', ARGV[1], 'endedAt', ARGV[2])`;

const LOAD = `
local row = redis.call('HMGET', KEYS[1], 'version', 'writing', 'cached', 'endedAt')
local version = tonumber(row[1] or 0)
if row[2] == '1' or tonumber(ARGV[1]) < tonumber(row[4] or 0) then return {version, 0} end
if row[3] ~= '0' then return {version, 1} end
redis.call('HSET', KEYS[1], 'cached', 1)
return {version, 0}`;

const CACHED = `
local versions = {}
for i, key in ipairs(KEYS) do
  local version = redis.call('HGET', key, 'version')
  if version then redis.call('HSET', key, 'cached', 1) end
  versions[i] = tonumber(version or 0)
end
return versions`;

/** Milliseconds, by the clock that all processes of a machine share. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export class Database implements Disposable {
  readonly #redis: Redis;

  constructor(url: string) {
    this.#redis = new Redis(url);
  }

  /** The version that a load reads. */
  async load(id: number, startedAt: number): Promise<{ version: number; extra: boolean }> {
    const answer = await this.#redis.eval(LOAD, 1, rowOf(id), startedAt);
    const [version, extra] = answer as [number, number];
    return { version, extra: extra === 1 };
  }

  /** A new version of a key; `change` brings it to the cache and says whether it did. */
  async write(
    id: number,
    change: (version: number) => Promise<{ confirmed: boolean; cached: boolean }>,
  ): Promise<void> {
    const version = (await this.#redis.eval(BEGIN, 1, rowOf(id))) as number;
    const { confirmed, cached } = await change(version);
    await this.#redis.eval(END, 1, rowOf(id), confirmed && cached ? 1 : 0, monotonicMs());
  }

  /** The versions of keys that are being put into the cache while nobody writes. */
  async cached(ids: readonly number[]): Promise<number[]> {
    return (await this.#redis.eval(CACHED, ids.length, ...ids.map(rowOf))) as number[];
  }

  [Symbol.dispose](): void {
    this.#redis.disconnect();
  }
}

function rowOf(id: number): string {
  return `row:${id}`;
}

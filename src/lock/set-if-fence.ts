/**
 * A write to Redis that the number of a lock guards: a holder that stood still
 * and goes on after another has written does not overwrite it.
 *
 * What a lock cannot do (stop the code of a process that was paused), the
 * resource can: it remembers the largest number it has seen and refuses smaller
 * ones. (M. Kleppmann, "How to do distributed locking", 2016.)
 */

import { type Duration, requireDuration } from '../duration.ts';
import { InvalidOptionError } from '../errors.ts';
import { checkKey } from '../keys.ts';

/** The number outlives its value by this: longer than any process stands still. */
const AFTERLIFE_MS = 7 * 24 * 3_600_000;

/**
 * For other clients: `EVAL` with KEYS value, number · ARGV value, number, ttl in
 * milliseconds (0: none), lifetime of the number → 1 written | 0 refused.
 */
export const SET_IF_FENCE: string = `local last = tonumber(redis.call('GET', KEYS[2]) or '0')
if last > tonumber(ARGV[2]) then return 0 end
local ttl = tonumber(ARGV[3])
if ttl > 0 then
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[4])
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ttl)
else
  redis.call('SET', KEYS[2], ARGV[2])
  redis.call('SET', KEYS[1], ARGV[1])
end
return 1`;

/** What is used of a Redis client: `ioredis` fits. */
export interface EvalClient {
  eval(script: string, keys: number, ...operands: (string | number | Buffer)[]): Promise<unknown>;
}

/**
 * Writes `value` unless one with a larger number was written before. The number
 * stands beside it, under `<key>:fence`; put a `{tag}` into the key for a Redis
 * Cluster.
 *
 * @param client Your own connection to the Redis that holds the value.
 * @param write.fence `lock.fence`; equal numbers may write again.
 * @param write.ttl How long the value lives; without one, for ever.
 * @returns False: refused, a later holder has written. Nothing was changed.
 * @throws InvalidKeyError, InvalidOptionError before anything is sent; what the client rejects with.
 */
export async function setIfFence(
  client: EvalClient,
  key: string,
  write: { readonly value: string | Buffer; readonly fence: number; readonly ttl?: Duration },
): Promise<boolean> {
  checkKey(key);
  const { value, fence, ttl } = write;
  if (typeof value !== 'string' && !Buffer.isBuffer(value)) {
    throw new InvalidOptionError('value', 'a string or a Buffer', value);
  }
  if (!Number.isSafeInteger(fence) || fence < 1) {
    throw new InvalidOptionError('fence', 'the fence of a lock', fence);
  }
  const ttlMs = ttl === undefined ? 0 : Math.ceil(requireDuration(ttl, 'ttl', 1));
  const operands = [key, `${key}:fence`, value, fence, ttlMs, ttlMs + AFTERLIFE_MS];
  return (await client.eval(SET_IF_FENCE, 2, ...operands)) === 1;
}

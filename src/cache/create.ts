/** A cache, from options. */
import { RingCache } from '../cache.ts';
import { loadMsgpack, PayloadCodec } from '../node/codec.ts';
import { type CacheOptions, resolveOptions } from '../options.ts';

/**
 * Connects to the nodes and returns the cache.
 *
 * A node that is down never makes it reject: its keys are loaded until it is
 * there, and it is used as soon as it is.
 *
 * @throws InvalidOptionError before anything is connected.
 * @throws TopologyConflictError when the nodes serve another member list under the same epoch; everything is closed again.
 */
export async function createCache(options: CacheOptions): Promise<RingCache> {
  const resolved = resolveOptions(options);
  const msgpack = resolved.codec === 'msgpack' ? await loadMsgpack() : undefined;
  const { compressFromBytes } = resolved;
  const codec = new PayloadCodec(resolved.codec, { msgpack, compressFromBytes });
  return RingCache.open(resolved, codec);
}

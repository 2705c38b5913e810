/** A recovery without a cache. */
import { systemClock } from '../clock.ts';
import { PayloadCodec } from '../node/codec.ts';
import { type CacheOptions, resolveOptions } from '../options.ts';
import { type Recovery, recover } from '../topology/recovery.ts';
import { joinRooms } from './rooms.ts';

/**
 * `recoverTopology` for nodes that `createCache` refuses, because they serve
 * documents that contradict each other.
 *
 * @throws As `recoverTopology`, and InvalidOptionError.
 */
export async function recoverTopology(
  options: CacheOptions,
  to: { control?: string } = {},
): Promise<Recovery> {
  const rooms = await joinRooms(resolveOptions(options), new PayloadCodec(), systemClock);
  try {
    // What it refuses is what is to be mended.
    await rooms.topology.open().catch(() => undefined);
    return await recover(rooms.topology, to.control);
  } finally {
    await rooms.end();
  }
}
